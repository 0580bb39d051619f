# A page for a model: put an exported model.pkl beside this file, then
#   docker build -t my-model . && docker run -p 127.0.0.1:7860:7860 my-model
# Builds of torch for processors alone are much smaller: --build-arg TORCH_OPTIONS=<what tells pip where they are>
FROM python:3.12-slim
ARG TORCH_OPTIONS=
COPY . /src
RUN pip install --no-cache-dir $TORCH_OPTIONS torch torchvision \
 && pip install --no-cache-dir "/src[app]" \
 && cp /src/model.pkl /model.pkl && rm -rf /src \
 && useradd --create-home visitor
USER visitor
EXPOSE 7860
ENV OMP_WAIT_POLICY=passive
CMD ["course_lib", "app", "/model.pkl", "--host", "0.0.0.0", "--port", "7860"]

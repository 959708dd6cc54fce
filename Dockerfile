# The command in an image: docker build --tag simulator . && docker run --rm --volume "$PWD:/work" simulator run clinic.yaml
# Compiled code is made once, when the image is: the first run starts at once. It needs no network and no privilege.
FROM python:3.12-slim AS build
WORKDIR /source
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY simulator simulator
COPY scenarios scenarios
COPY notebooks notebooks
COPY traces traces
COPY tests/bench/recorded/cpu tests/bench/recorded/cpu
RUN python -m venv /opt/simulator && \
    /opt/simulator/bin/pip install --no-cache-dir --quiet --constraint constraints.txt .

FROM python:3.12-slim
RUN useradd --create-home --uid 10001 simulator && mkdir /work && chown simulator /work
COPY --from=build /opt/simulator /opt/simulator
ENV PATH=/opt/simulator/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER simulator
WORKDIR /work
RUN simulator init smoke.yaml && simulator validate smoke.yaml && simulator run smoke.yaml --quiet --replications 1 && \
    rm -r smoke.yaml runs
ENTRYPOINT ["simulator"]
CMD ["--help"]

# CPU images: `docker build --target predict`, `web` or `mlflow` (docs/use.md, Containers). Models come from the mounted project.
FROM python:3.12-slim-trixie AS base
RUN useradd --uid 1000 --create-home fakeface
# Any user may run them (`docker run --user`), so nothing is kept in a home.
ENV HOME=/tmp PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /project

FROM base AS tools
RUN pip install --no-cache-dir uv==0.13.9 && uv venv /venv
ENV UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1 VIRTUAL_ENV=/venv
WORKDIR /source
COPY requirements.lock ./
RUN grep -Ev '^(nvidia|cuda|triton)' requirements.lock > cpu.lock

FROM tools AS fakeface
COPY pyproject.toml ./
RUN uv pip install --torch-backend=cpu --constraint cpu.lock --requirement pyproject.toml --extra web
COPY . .
RUN uv pip install --no-deps .

FROM tools AS store
RUN uv pip install --constraint cpu.lock mlflow

FROM base AS predict
COPY --from=fakeface /venv /venv
USER 1000
ENTRYPOINT ["fakeface", "predict"]

# The page listens on 127.0.0.1 alone, which in a container nobody reaches: socat passes on what Docker publishes.
FROM predict AS web
USER 0
# Debian keeps no old version of it that could be named.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends socat && rm -rf /var/lib/apt/lists/*
USER 1000
EXPOSE 7860
STOPSIGNAL SIGINT
ENTRYPOINT ["sh", "-c", "socat TCP-LISTEN:7860,fork,reuseaddr TCP:127.0.0.1:7861 & exec fakeface web --port 7861 --no-browser \"$@\"", "web"]

FROM base AS mlflow
COPY --from=store /venv /venv
ENV MLFLOW_DISABLE_TELEMETRY=true
USER 1000
EXPOSE 5000
ENTRYPOINT ["mlflow", "ui", "--host", "0.0.0.0", "--workers", "1"]

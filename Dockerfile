# syntax=docker/dockerfile:1
# Two stages: what builds is not what runs. The lock file decides every version.

FROM python:3.12-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements.lock /tmp/requirements.lock
RUN python -m venv /opt/drumline \
    && /opt/drumline/bin/pip install --require-hashes -r /tmp/requirements.lock

FROM python:3.12-slim-bookworm
ENV PATH=/opt/drumline/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DRUMLINE_STATE_DIR=/var/lib/drumline \
    DRUMLINE_LOG_FORMAT=json
RUN useradd --system --uid 10001 --home-dir /var/lib/drumline --create-home drumline
COPY --from=build /opt/drumline /opt/drumline
WORKDIR /app
COPY config config
COPY models models
COPY providers providers
COPY producer producer
COPY workers workers
COPY sandbox sandbox
COPY examples examples
USER drumline
VOLUME /var/lib/drumline
ENTRYPOINT ["python", "-m", "producer"]
CMD ["--help"]

# syntax=docker/dockerfile:1
# Two stages: what builds is not what runs. The lock file decides every version, by hash.
# To pin the base by digest too: docker build --build-arg PYTHON_IMAGE=python@sha256:...
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements.lock /tmp/requirements.lock
RUN python -m venv /opt/drumline \
    && /opt/drumline/bin/pip install --require-hashes -r /tmp/requirements.lock \
    && /opt/drumline/bin/python -m compileall -q /opt/drumline

FROM ${PYTHON_IMAGE}
ENV PATH=/opt/drumline/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DRUMLINE_STATE_DIR=/var/lib/drumline \
    DRUMLINE_LOG_FORMAT=json
# The folder is made here, so that a new volume on it belongs to the user as well.
RUN groupadd --system --gid 10001 drumline \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/drumline --create-home drumline
COPY --from=build /opt/drumline /opt/drumline
WORKDIR /app
# Owned by root: the process cannot change its own program.
COPY --chown=root:root config config
COPY --chown=root:root models models
COPY --chown=root:root providers providers
COPY --chown=root:root producer producer
COPY --chown=root:root workers workers
COPY --chown=root:root sandbox sandbox
COPY --chown=root:root examples examples
RUN python -m compileall -q /app
USER 10001:10001
VOLUME /var/lib/drumline
EXPOSE 8000
# For the default command. docker-compose.yml has a check for every other one.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=6 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz', timeout=3)"]
ENTRYPOINT ["python", "-m", "producer"]
CMD ["api"]

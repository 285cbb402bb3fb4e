# The image of every role; the command names the role: `learn MODULE:APP`, `topics create MODULE:APP`, ...
# Add your definition with `FROM stream-app` and `COPY phishing.py ./`, then run `learn phishing:app`.
# A learner refuses to go on under another Python than its journal's: pin it to the patch in production,
# `docker build --build-arg PYTHON=3.11.14`, and move on with `stream-app upgrade`.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/venv
COPY requirements/runtime.lock requirements/build.lock requirements/mypyc.ini /src/requirements/
RUN /opt/venv/bin/pip install --require-hashes --no-deps --requirement /src/requirements/runtime.lock
RUN /opt/venv/bin/pip install --require-hashes --no-deps --target /opt/build --requirement /src/requirements/build.lock
COPY pyproject.toml setup.py README.md LICENSE /src/
COPY docs/runbooks.md /src/docs/
COPY stream_app /src/stream_app
COPY topics /src/topics
COPY drift /src/drift
# The flow is compiled to C: the same bytes, half as many microseconds an event (ADR 9).
RUN cd /src && STREAM_APP_COMPILE=1 PYTHONPATH=/opt/build /opt/venv/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /opt/wheels . \
    && /opt/venv/bin/pip install --no-deps /opt/wheels/*.whl

FROM python:${PYTHON}-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin stream-app \
    && install --directory --owner stream-app --mode 0700 /var/lib/stream-app /var/lib/stream-app/snapshots
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY examples ./examples
# Replays are compared to the bit, and a hash seed changes the order in which some models add.
ENV PATH=/opt/venv/bin:$PATH PYTHONHASHSEED=0 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER stream-app
STOPSIGNAL SIGTERM
ENTRYPOINT ["stream-app"]
CMD ["--help"]

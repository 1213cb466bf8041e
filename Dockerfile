# Two stages: the first compiles both extensions into one environment, the second carries that environment and nothing
# that built it. scripts/image.sh builds it, or runs these very steps in a bare Debian root where there is no engine.
FROM python:3.13-slim-trixie AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev rustc cargo \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements requirements
RUN python3 -m venv /build \
 && /build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.lock \
 && python3 -m venv --without-pip /app/venv \
 && /build/bin/pip --python /app/venv/bin/python install --no-cache-dir --require-hashes -r requirements/run.lock
COPY setup.py pyproject.toml MANIFEST.in README.md CHANGELOG.md LICENSE ./
COPY native native
COPY sprawl sprawl
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel . \
 && /build/bin/pip --python /app/venv/bin/python install --no-cache-dir --no-deps /wheel/*.whl \
 && ln -s venv/bin/sprawl venv/bin/sprawlctl /app/

FROM python:3.13-slim-trixie
RUN useradd --system --uid 10001 --user-group --home-dir /data --shell /usr/sbin/nologin sprawl \
 && install --directory --owner=sprawl --group=sprawl /data
COPY --from=build /app /app
ENV PATH=/app:/usr/local/bin:/usr/bin:/bin
ENV SPRAWL_DATA_DIR=/data
WORKDIR /data
VOLUME /data
USER 10001:10001
EXPOSE 8080 8081 7946/tcp 7946/udp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
  CMD ["python3", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:%s/health' % (os.environ.get('SPRAWL_HEALTH_PORT') or 8081), timeout=2)"]
ENTRYPOINT ["/app/sprawl"]

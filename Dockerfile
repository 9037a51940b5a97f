# The steps are the scripts of deploy/image, which tests/deploy/test_image.py runs without Docker.

FROM python:3.11-slim-bookworm AS build
# EXTRAS: torch (to score with a torch program), or nothing. PIP_…: another package index, or one with CPU builds of torch.
ARG EXTRAS=torch
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
COPY pyproject.toml constraints.txt README.md LICENSE /source/
COPY deploy/image /source/deploy/image
COPY storage /source/storage
COPY monitoring /source/monitoring
COPY app /source/app
RUN --mount=type=cache,target=/root/.cache/pip /source/deploy/image/build.sh /source /opt/driftmap "$EXTRAS"

FROM python:3.11-slim-bookworm
COPY --from=build /source/deploy/image/*.sh /opt/driftmap-image/
RUN /opt/driftmap-image/user.sh
COPY --from=build /opt/driftmap /opt/driftmap
ENV PATH=/opt/driftmap/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    DRIFTMAP_DATABASE=/data/driftmap.duckdb
WORKDIR /data
VOLUME /data
USER driftmap
EXPOSE 5006 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["/opt/driftmap-image/healthy.sh", "8000"]
ENTRYPOINT ["/opt/driftmap-image/start.sh"]
CMD ["--host", "0.0.0.0", "--port", "5006", "--api-port", "8000"]

# The image of the broker: its binary, certificates of authorities, and nothing else. `make image` makes the same without
# an engine, for amd64 and arm64, with a digest that anybody can make again.
#
#   docker build -t runnel .                       from source; nothing but an engine is needed
#   make dist && docker build --target prebuilt .  from the binaries that `make dist` wrote, with no image but scratch
#
# docs/local.md says how to use it.

FROM scratch AS base
ARG VERSION=devel
ARG REVISION=
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Runnel" \
      org.opencontainers.image.description="A Kafka-protocol broker on an object store" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/runnel-io/runnel" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
ENV PATH=/
WORKDIR /
USER 65532:65532
# Kafka, admin (/livez, /readyz, /metrics), other brokers.
EXPOSE 9092 9644 9645
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 CMD ["/runnel", "health"]
ENTRYPOINT ["/runnel"]
CMD ["dev", "--listen", "0.0.0.0:9092", "--advertise", "localhost:9092"]

FROM base AS prebuilt
# Set by BuildKit; for the builder that engines had before, --build-arg TARGETARCH=arm64.
ARG TARGETARCH
ADD dist/linux-${TARGETARCH:-amd64}.tar /

FROM golang:1.26 AS build
WORKDIR /src
COPY . .
ARG TARGETARCH
RUN cd integration \
 && go run ./cmd/image -files -arch "${TARGETARCH:-$(go env GOARCH)}" -out /dist \
 && mkdir /image \
 && tar -xf /dist/linux-*.tar -C /image

FROM base
COPY --from=build /image/ /
COPY --from=build --chown=65532:65532 /image/data/ /data/

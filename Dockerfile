# The image of `s3haul backup daemon`; any other command works, too:
#
#   docker build -t s3haul .
#   docker run --rm s3haul --help
#
# Sources are mounted read-only, jobs at /config/jobs.toml, and what is remembered is in the volume /state.

FROM rust:1.95-bookworm AS build
# cmake: the C library behind TLS and SHA-256 is built with it
RUN apt-get update \
 && apt-get install -y --no-install-recommends cmake \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY benches/floor.rs benches/floor.rs
COPY tests/it/main.rs tests/it/main.rs
RUN cargo build --release --locked --bin s3haul

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates tzdata \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --no-create-home --home-dir /state s3haul \
 && install -d -o s3haul -g s3haul -m 0700 /state
COPY --from=build /build/target/release/s3haul /usr/local/bin/s3haul
USER s3haul
ENV HOME=/state \
    S3HAUL_STATE_DIR=/state \
    S3HAUL_CONFIG=/config/jobs.toml
VOLUME /state
# The daemon stops in order: open uploads are aborted or left to the next run.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/s3haul"]
CMD ["backup", "daemon"]

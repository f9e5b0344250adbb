//! The binary: everything is in the library's `cli`.

/// Uploads are many small allocations on several threads; see `docs/performance.md`.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    s3haul::cli::main()
}

//! The edge: HTTPS for partners outside, gRPC inside, and the only way out.

use std::{alloc::System, process::ExitCode};

use zeroizing_alloc::ZeroAlloc;

/// Buffers of TLS, HTTP and gRPC hold probes, secrets and tokens too: what is
/// freed is zeroed.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    mesh::service::main(edge_rest::SERVICE, edge_rest::start)
}

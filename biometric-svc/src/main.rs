//! The biometric service's process.

use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

// Buffers of TLS, HTTP/2 and protobuf hold probes too.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    mesh::service::main(biometric_svc::SERVICE, |config, environment| async {
        let listeners = biometric_svc::Listeners::bind(&config).await?;
        biometric_svc::run(config, listeners, environment).await
    })
}

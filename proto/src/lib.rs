//! The contracts between the services, generated from `propdev/**/*.proto`.
//!
//! [`DESCRIPTOR_SET`] holds the same contracts with their options (who may
//! call, whether to retry, default deadlines) for the mesh to read.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used)]

mod redacted;

/// Encoded `google.protobuf.FileDescriptorSet` of every contract, imports
/// included.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

pub mod propdev {
    pub mod mesh {
        pub mod v1 {
            tonic::include_proto!("propdev.mesh.v1");
        }
    }
    pub mod auth {
        pub mod v1 {
            tonic::include_proto!("propdev.auth.v1");
        }
    }
    pub mod access {
        pub mod v1 {
            tonic::include_proto!("propdev.access.v1");
        }
    }
    pub mod biometric {
        pub mod v1 {
            tonic::include_proto!("propdev.biometric.v1");
        }
    }
    pub mod gateway {
        pub mod v1 {
            tonic::include_proto!("propdev.gateway.v1");
        }
    }
}

pub use propdev::{
    access::v1 as access, auth::v1 as auth, biometric::v1 as biometric, gateway::v1 as gateway,
    mesh::v1 as mesh,
};

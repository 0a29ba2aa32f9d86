//! Who may call which RPC, for how long, and whether it may be retried: read
//! from the options beside each RPC in the contracts.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, LazyLock},
    time::Duration,
};

use prost_reflect::{DescriptorPool, Kind, Value};

use crate::Caller;

/// Health checks (`grpc.health.v1`) carry no options of ours: every identity
/// of the trust domain may ask.
const HEALTH_PREFIX: &str = "/grpc.health.v1.Health/";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcPolicy {
    /// Classes as [`Caller::class`] gives them.
    pub callers: HashSet<String>,
    pub deadline: Duration,
    pub idempotent: bool,
}

/// The policy of every RPC, by its path `/<package>.<Service>/<Method>`.
#[derive(Debug)]
pub struct Policy {
    rpcs: HashMap<String, RpcPolicy>,
}

#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("the descriptor set cannot be read: {0}")]
    Descriptor(#[from] prost_reflect::DescriptorError),
    #[error("the descriptor set lacks propdev.mesh.v1.policy")]
    NoExtension,
    #[error("{0} has no callers or no deadline")]
    Incomplete(String),
}

static BUILT_IN: LazyLock<Result<Arc<Policy>, PolicyError>> =
    LazyLock::new(|| Policy::from_descriptor_set(propdev_proto::DESCRIPTOR_SET).map(Arc::new));

impl Policy {
    /// The policy of the contracts compiled into this program.
    pub fn built_in() -> Result<Arc<Self>, &'static PolicyError> {
        BUILT_IN.as_ref().map(Arc::clone)
    }

    pub fn from_descriptor_set(encoded: &[u8]) -> Result<Self, PolicyError> {
        let pool = DescriptorPool::decode(encoded)?;
        let extension = pool
            .get_extension_by_name("propdev.mesh.v1.policy")
            .ok_or(PolicyError::NoExtension)?;
        let Kind::Message(_) = extension.kind() else {
            return Err(PolicyError::NoExtension);
        };
        let mut rpcs = HashMap::new();
        for service in pool.services() {
            if !service.full_name().starts_with("propdev.") {
                continue;
            }
            for method in service.methods() {
                let path = format!("/{}/{}", service.full_name(), method.name());
                let options = method.options();
                let idempotent = options
                    .get_field_by_name("idempotency_level")
                    .is_some_and(|level| level.as_enum_number().unwrap_or(0) > 0);
                let (mut callers, mut deadline_ms) = (HashSet::new(), 0);
                if let Value::Message(policy) = options.get_extension(&extension).as_ref() {
                    if let Some(list) = policy.get_field_by_name("callers") {
                        callers = list
                            .as_list()
                            .unwrap_or_default()
                            .iter()
                            .filter_map(|caller| caller.as_str().map(str::to_owned))
                            .collect();
                    }
                    deadline_ms = policy
                        .get_field_by_name("deadline_ms")
                        .and_then(|value| value.as_u32())
                        .unwrap_or(0);
                }
                if callers.is_empty() || deadline_ms == 0 {
                    return Err(PolicyError::Incomplete(path));
                }
                rpcs.insert(
                    path,
                    RpcPolicy {
                        callers,
                        deadline: Duration::from_millis(deadline_ms.into()),
                        idempotent,
                    },
                );
            }
        }
        Ok(Self { rpcs })
    }

    pub fn get(&self, path: &str) -> Option<&RpcPolicy> {
        self.rpcs.get(path)
    }

    /// Every path with its policy, for tests that walk the whole matrix.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RpcPolicy)> {
        self.rpcs
            .iter()
            .map(|(path, policy)| (path.as_str(), policy))
    }

    /// Whether this caller may make this call. An RPC that no contract names
    /// may be called by nobody.
    pub fn allows(&self, path: &str, caller: &Caller) -> bool {
        path.starts_with(HEALTH_PREFIX)
            || self
                .rpcs
                .get(path)
                .is_some_and(|rpc| rpc.callers.contains(&caller.class()))
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::MessageDescriptor;

    use super::*;

    #[test]
    fn the_contracts_are_complete_and_closed() {
        let policy = Policy::built_in().expect("contracts with options");
        let edge = Caller::Service("edge-rest".into());
        let access = Caller::Service("access-svc".into());
        assert!(policy.allows("/propdev.auth.v1.TokenService/IssueToken", &edge));
        assert!(!policy.allows("/propdev.auth.v1.TokenService/IssueToken", &access));
        assert!(!policy.allows("/propdev.auth.v1.TokenService/Absent", &edge));
        assert!(policy.allows("/grpc.health.v1.Health/Check", &edge));
    }

    #[test]
    fn idempotency_comes_from_the_standard_option() {
        let policy = Policy::built_in().expect("contracts with options");
        let identify = policy
            .get("/propdev.biometric.v1.BiometricService/Identify")
            .expect("a policy");
        assert!(identify.idempotent);
        let open = policy
            .get("/propdev.access.v1.OpeningService/Open")
            .expect("a policy");
        assert!(!open.idempotent);
    }

    #[test]
    fn every_caller_named_is_one_that_can_exist() {
        let policy = Policy::built_in().expect("contracts with options");
        for (path, rpc) in policy.iter() {
            for class in &rpc.callers {
                let full = if class.starts_with("svc/") {
                    class.clone()
                } else {
                    format!("{class}/x")
                };
                assert!(full.parse::<Caller>().is_ok(), "{path} names {class}");
            }
        }
    }

    #[test]
    fn no_answer_holds_a_vector() {
        const VECTOR: &str = "propdev.biometric.v1.FaceVector";
        let pool = DescriptorPool::decode(propdev_proto::DESCRIPTOR_SET).expect("contracts");
        assert!(
            reached(
                pool.get_message_by_name("propdev.biometric.v1.IdentifyRequest")
                    .expect("a request")
            )
            .contains(VECTOR)
        );
        for service in pool.services() {
            for method in service.methods() {
                let answer = reached(method.output());
                assert!(!answer.contains(VECTOR), "{}", method.full_name());
                for message in &answer {
                    let message = pool.get_message_by_name(message).expect("a message");
                    for field in message.fields() {
                        let suspect = match field.kind() {
                            Kind::Float | Kind::Double => field.is_list(),
                            Kind::Bytes => ["values", "vector", "template", "embedding"]
                                .contains(&field.name()),
                            _ => false,
                        };
                        assert!(!suspect, "{} by {}", field.full_name(), method.full_name());
                    }
                }
            }
        }
    }

    /// The names of a message and of all that it may hold.
    fn reached(message: MessageDescriptor) -> HashSet<String> {
        let (mut names, mut waiting) = (HashSet::new(), vec![message]);
        while let Some(message) = waiting.pop() {
            if !names.insert(message.full_name().to_owned()) {
                continue;
            }
            for field in message.fields() {
                if let Kind::Message(held) = field.kind() {
                    waiting.push(held);
                }
            }
        }
        names
    }
}

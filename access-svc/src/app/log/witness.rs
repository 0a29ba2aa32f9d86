//! A checkpoint to a witness (C2SP tlog-witness), which signs it when the log
//! goes on from what the witness has seen.

use audit_log::checkpoint::is_signature_line;
use propdev_proto::gateway::AddCheckpointRequest;

use super::{ToProve, outside::Untold};
use crate::{app::App, clients::Witnessed, config::WitnessConfig, store::Checkpoint};

impl App {
    /// `known` is what the witness has surely seen.
    pub(super) async fn tell_witness(
        &self,
        witness: &WitnessConfig,
        newest: &Checkpoint,
        mut known: u64,
    ) -> Result<(), Untold> {
        let ca_pem = match &witness.ca {
            Some(file) => tokio::fs::read_to_string(file).await?,
            None => String::new(),
        };
        // Once more when it has seen something else.
        for _ in 0..2 {
            let nothing = ToProve::Numbers(vec![]);
            let proofs = self
                .prove_entries(nothing, known, Some(newest.size))
                .await?;
            let request = AddCheckpointRequest {
                url: witness.url.clone(),
                ca_pem: ca_pem.clone(),
                old_size: known,
                consistency: proofs.consistency.iter().map(|h| h.0.to_vec()).collect(),
                checkpoint: newest.note.clone(),
            };
            match self.parts.edge.add_checkpoint(request).await? {
                Witnessed::Signed(lines) => {
                    let good = lines.lines().filter(|line| is_signature_line(line));
                    let good: String = good.map(|line| format!("{line}\n")).collect();
                    self.parts.store.add_signatures(newest.size, good).await?;
                    return Ok(());
                }
                Witnessed::Knows(size) if size > newest.size => {
                    return Err(Untold::Behind {
                        theirs: size,
                        ours: newest.size,
                    });
                }
                Witnessed::Knows(size) => known = size,
                Witnessed::Refused(status) => return Err(Untold::Refused(status)),
            }
        }
        Err(Untold::Refused(0))
    }
}

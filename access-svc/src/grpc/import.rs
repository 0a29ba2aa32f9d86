use propdev_proto::access::{
    ImportFault, ImportOptions, ImportRequest, ImportResponse, import_service_server::ImportService,
};
use prost::Message;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::{
    Api,
    convert::{caller, fault},
};
use crate::{
    app::{Import, Imported},
    domain::import::MOST_ROWS,
    error::Error,
};

/// Most bytes of an import: its rows are held until the last has come.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// Most faults that an answer tells.
const MOST_FAULTS: usize = 10_000;

#[tonic::async_trait]
impl ImportService for Api {
    async fn import(
        &self,
        request: Request<Streaming<ImportRequest>>,
    ) -> Result<Response<ImportResponse>, Status> {
        let caller = caller(&request)?;
        let mut requests = request.into_inner();
        let mut options: Option<ImportOptions> = None;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(message) = requests.message().await? {
            bytes += message.encoded_len();
            if options.is_none() {
                options = Some(message.options.unwrap_or_default());
            } else if message.options.is_some() {
                return Err(fault("options", "are in the first message alone").into());
            }
            if rows.len() + message.rows.len() > MOST_ROWS || bytes > MOST_BYTES {
                return Err(Error::ImportTooLarge.into());
            }
            rows.extend(message.rows);
        }
        let options = options.unwrap_or_default();
        let imported = self
            .app
            .import(Import {
                system: options.system,
                validate_only: options.validate_only,
                caller,
                rows,
            })
            .await?;
        Ok(Response::new(message(imported)))
    }
}

fn message(imported: Imported) -> ImportResponse {
    let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
    let faults = imported.faults.into_iter().take(MOST_FAULTS);
    ImportResponse {
        imported: count(imported.imported),
        faults: faults
            .map(|fault| ImportFault {
                line: fault.line,
                field: fault.field.to_owned(),
                detail: fault.detail,
            })
            .collect(),
        faulty_rows: count(imported.faulty_rows),
        object_ids: imported.objects.iter().map(Uuid::to_string).collect(),
    }
}

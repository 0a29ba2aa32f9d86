//! Imports: which lines are sent, and what is told of the others.

use std::sync::{Arc, Mutex};

use propdev_proto::access::{
    ImportFault, ImportRequest, ImportResponse,
    import_row::Object,
    import_service_server::{ImportService, ImportServiceServer},
};
use serde_json::Value;
use tonic::{Request, Response, Status, Streaming, service::Routes};

use crate::house::{House, propctl, text};

/// Refuses rows of a name, and remembers what was asked.
#[derive(Clone, Default)]
struct Imports(Arc<Mutex<Vec<Asked>>>);

/// Whether it was to be looked at alone, and which lines.
type Asked = (bool, Vec<u32>);

#[tonic::async_trait]
impl ImportService for Imports {
    async fn import(
        &self,
        request: Request<Streaming<ImportRequest>>,
    ) -> Result<Response<ImportResponse>, Status> {
        let mut requests = request.into_inner();
        let (mut lines, mut faults, mut validate_only) = (Vec::new(), Vec::new(), false);
        while let Some(message) = requests.message().await? {
            validate_only |= message.options.is_some_and(|options| options.validate_only);
            for row in message.rows {
                lines.push(row.line);
                if matches!(&row.object, Some(Object::Site(site)) if site.name == "Bad") {
                    faults.push(ImportFault {
                        line: row.line,
                        field: "name".into(),
                        detail: "is bad".into(),
                    });
                }
            }
        }
        let good = faults.is_empty() && !validate_only;
        let imported = if good { lines.len() } else { 0 };
        self.0.lock().expect("a lock").push((validate_only, lines));
        Ok(Response::new(ImportResponse {
            imported: u32::try_from(imported).expect("few"),
            faulty_rows: u32::try_from(faults.len()).expect("few"),
            faults,
            object_ids: Vec::new(),
        }))
    }
}

async fn house() -> (House, Imports) {
    let imports = Imports::default();
    let mut house = House::new();
    let routes = Routes::new(ImportServiceServer::new(imports.clone()));
    house.serve("access-svc", routes).await;
    (house, imports)
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_file_and_of_the_service_are_told_by_line() {
    let (house, imports) = house().await;
    let settings = house.settings("operator/operator/olga");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sites.csv");
    let arguments = |file: &std::path::Path| -> Vec<String> {
        let file = file.display().to_string();
        ["--output", "json", "import", "sites", &file]
            .map(str::to_owned)
            .to_vec()
    };
    let run = async |text: &str| {
        std::fs::write(&file, text).expect("written");
        let arguments = arguments(&file);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        propctl(&settings, &arguments).await
    };

    let mixed = run("name\nNorth\nSouth,too many\nBad\n").await;
    assert_eq!(mixed.status.code(), Some(1), "{}", text(&mixed.stderr));
    let told: Value = serde_json::from_slice(&mixed.stdout).expect("JSON");
    let lines: Vec<&Value> = told["faults"]
        .as_array()
        .expect("faults")
        .iter()
        .map(|fault| &fault["line"])
        .collect();
    assert_eq!(lines, [3, 4]);
    assert!(text(&mixed.stderr).contains("2 lines are wrong"));
    assert!(text(&mixed.stderr).contains("--system"));
    let one = run("name\nNorth\nBad\n").await;
    assert!(text(&one.stderr).contains("1 line is wrong"));

    let good = run("name\nNorth\nSouth\n").await;
    assert!(good.status.success(), "{}", text(&good.stderr));
    let header = run("nmae\nNorth\n").await;
    assert_eq!(header.status.code(), Some(1));
    // With a line that cannot be read the others are looked at alone; without a header none is.
    let asked = imports.0.lock().expect("a lock").clone();
    assert_eq!(
        asked,
        [(true, vec![2, 4]), (false, vec![2, 3]), (false, vec![2, 3])]
    );
}

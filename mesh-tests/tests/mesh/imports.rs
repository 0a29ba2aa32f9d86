//! Many objects at once: all of them, or none and every fault.

use std::process::Output;

use devmesh::{
    estate::{DIMENSION, DOOR, MODEL, probe},
    operator::Operator,
};
use mesh_tests::{Mesh, on_both_databases};
use partner_sim::face::Identity;
use propdev_proto::access::{
    ExternalId, GetGrantRequest, ImportOptions, ImportRequest, ImportResponse, ImportRow,
    ListDevicesRequest, ListSitesRequest, SiteRow, import_row::Object,
};
use serde_json::Value;
use tonic::Code;

use crate::propctl;

on_both_databases!(
    a_register_of_every_noun_is_imported_and_its_faces_recognised,
    a_file_with_bad_lines_imports_nothing_and_tells_each,
    one_bad_row_keeps_all_the_others_out,
    an_import_is_bounded,
);

async fn import(mesh: &Mesh, noun: &str, text: &str, more: &[&str]) -> Output {
    let file = mesh.folder.path().join(format!("{noun}.csv"));
    std::fs::write(&file, text).expect("written");
    let file = file.display().to_string();
    let mut arguments = vec!["--output", "json", "import", noun, &file, "--system", "reg"];
    arguments.extend(more);
    propctl(&mesh.layout, "operator", &arguments).await
}

fn told(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

async fn imported(mesh: &Mesh, noun: &str, text: &str) {
    let output = import(mesh, noun, text, &[]).await;
    assert!(output.status.success(), "{noun}: {output:?}");
    let rows = text.lines().count() - 1;
    assert_eq!(told(&output)["imported"], rows, "{noun}");
}

/// `.npy` of two dimensions in float32.
fn npy(rows: &[Vec<f32>]) -> Vec<u8> {
    let shape = format!("({}, {})", rows.len(), DIMENSION);
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len()).expect("short");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend(rows.iter().flatten().flat_map(|value| value.to_le_bytes()));
    bytes
}

async fn a_register_of_every_noun_is_imported_and_its_faces_recognised(mesh: Mesh) {
    let partner = &mesh.estate.partner_id;
    imported(&mesh, "sites", "name,external_id\nLakeside,S-1\n").await;
    imported(
        &mesh,
        "buildings",
        "site,name,external_id\nS-1,Block 1,B-1\n",
    )
    .await;
    let entrances = "building,name,external_id\nB-1,Entrance 1,E-1\n";
    imported(&mesh, "entrances", entrances).await;
    let devices = format!(
        "partner_id,device_id,site,entrance,kind,name,time_zone,external_id\n\
         {partner},lake-1,S-1,E-1,door,Lake,Europe/Moscow,D-1\n\
         {partner},lake-2,S-1,,barrier,Gate,Europe/Moscow,\n"
    );
    imported(&mesh, "devices", &devices).await;
    let groups = format!("site,name,devices,external_id\nS-1,All,D-1;{partner}/lake-2,G-1\n");
    imported(&mesh, "device-groups", &groups).await;
    let households = "site,building,unit,external_id\r\nS-1,B-1,12,H-1\r\nS-1,,13,H-2\r\n";
    imported(&mesh, "households", households).await;
    // The partner's client sees the first site alone.
    let site = &mesh.estate.site_id;
    let residents = format!(
        "\u{feff}name,households,sites,external_id\nVera Example,H-1,{site},R-1\n\
         \"Example, Yuri\",H-1;H-2,{site},R-2\n"
    );
    imported(&mesh, "residents", &residents).await;
    let vehicles = "resident,plate,held_from\nR-1,C 777 CC 77,2026-01-01\n";
    imported(&mesh, "vehicles", vehicles).await;
    let credentials =
        format!("resident,partner_id,kind,credential_id,site\nR-1,{partner},key,lake-key,S-1\n");
    imported(&mesh, "credentials", &credentials).await;
    let grants = "household,device_group,windows,external_id\nH-1,G-1,daily 00:00-24:00,A-1\n";
    imported(&mesh, "grants", grants).await;
    let subscriptions = "household,kind,paid_until\nH-1,door,2099-12-31\n";
    imported(&mesh, "subscriptions", subscriptions).await;
    // The same again is a state that takes the place of the first.
    imported(&mesh, "subscriptions", subscriptions).await;

    // A key is held by one at a time.
    let again = import(&mesh, "credentials", &credentials, &[]).await;
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert_eq!(told(&again)["faults"][0]["field"], "credential_id");

    // A vehicle is held by each of its holders once, within a file and beside what is there.
    let vehicles = "resident,plate\nR-2,A 111 AA 77\nR-1,c777cc77\nR-2,C777CC77\nR-2,A111AA77\n";
    let again = import(&mesh, "vehicles", vehicles, &[]).await;
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    let reply = told(&again);
    let faults = reply["faults"].as_array().expect("faults");
    let lines: Vec<_> = faults.iter().map(|fault| &fault["line"]).collect();
    assert_eq!(lines, [3, 5], "{reply}");
    assert!(
        faults.iter().all(|fault| fault["field"] == "plate"),
        "{reply}"
    );

    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let request = GetGrantRequest {
        external_id: Some(ExternalId {
            system: "reg".into(),
            id: "A-1".into(),
        }),
        ..GetGrantRequest::default()
    };
    let grant = operator.grants().get_grant(request).await.expect("a grant");
    let grant = grant.into_inner().grant.expect("a grant");
    assert_eq!(grant.windows.len(), 1);
    assert!(!grant.household_id.is_empty() && !grant.device_group_id.is_empty());

    faces_are_enrolled_and_recognised(&mesh).await;
}

async fn faces_are_enrolled_and_recognised(mesh: &Mesh) {
    let (vera, yuri) = (rand_seed(), rand_seed());
    let vector = |seed| Identity::new(seed, DIMENSION).enrolment();
    let file = |name: &str| mesh.folder.path().join(name).display().to_string();
    let (manifest, vectors, alone) = (file("faces.csv"), file("faces.npy"), file("alone.csv"));
    std::fs::write(&vectors, npy(&[vector(vera)])).expect("written");
    let text = "resident,consent_reference,consented_at\nR-1,form 1,2026-01-01\n";
    std::fs::write(&manifest, text).expect("written");
    let numbers: Vec<String> = vector(yuri).iter().map(f32::to_string).collect();
    let text = format!(
        "resident,consent_reference,consented_at,vector\nR-2,form 2,2026-01-01,{}\n",
        numbers.join(" ")
    );
    std::fs::write(&alone, text).expect("written");
    let enrol = async |more: &[&str]| {
        let mut arguments = vec![
            "resident",
            "enrol-faces",
            "--model",
            MODEL,
            "--system",
            "reg",
        ];
        arguments.extend(more);
        propctl(&mesh.layout, "privacy", &arguments).await
    };
    let first = enrol(&["--manifest", &manifest, "--vectors", &vectors]).await;
    assert!(first.status.success(), "{first:?}");
    // A repeat replaces.
    let again = enrol(&["--manifest", &manifest, "--vectors", &vectors]).await;
    assert!(again.status.success(), "{again:?}");
    let second = enrol(&["--manifest", &alone]).await;
    assert!(second.status.success(), "{second:?}");
    for seed in [vera, yuri] {
        let answer = mesh.partner().ask_face_token(&probe(seed)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let wrong = "resident,consent_reference,consented_at,vector\nR-9,form 3,2026-01-01,1 2\n";
    std::fs::write(&alone, wrong).expect("written");
    let refused = enrol(&["--manifest", &alone]).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
}

fn rand_seed() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}

async fn a_file_with_bad_lines_imports_nothing_and_tells_each(mesh: Mesh) {
    let (partner, site) = (&mesh.estate.partner_id, &mesh.estate.site_id);
    let text = format!(
        "partner_id,device_id,site,kind,name,time_zone,external_id\n\
         {partner},good-1,{site},door,Good,Europe/Moscow,D-1\n\
         {partner},gate,{site},window,Bad,Europe/Moscow,D-2\n\
         {partner},lost,S-404,door,Bad,Nowhere/Land,D-3\n\
         {partner},{DOOR},{site},door,Twice,Europe/Moscow,D-4\n\
         {partner},good-1,{site},door,Twin,Europe/Moscow,D-1\n\
         {partner},short\n"
    );
    let output = import(&mesh, "devices", &text, &[]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let reply = told(&output);
    let faults: Vec<(u64, &str)> = reply["faults"]
        .as_array()
        .expect("faults")
        .iter()
        .map(|fault| {
            let field = fault["field"].as_str().expect("a field");
            (fault["line"].as_u64().expect("a line"), field)
        })
        .collect();
    for wanted in [
        (3, "kind"),
        (4, "site"),
        (4, "time_zone"),
        (5, "device_id"),
        (6, "device_id"),
        (6, "external_id"),
        (7, ""),
    ] {
        assert!(faults.contains(&wanted), "{wanted:?}: {faults:?}");
    }
    assert_eq!(faults.len(), 7, "{faults:?}");
    assert_eq!(reply["faulty_rows"], 5);
    assert_eq!(reply["imported"], 0);
    assert!(!has_device(&mesh, "good-1").await);

    let good: String = text
        .lines()
        .take(2)
        .map(|line| format!("{line}\n"))
        .collect();
    let looked_at = import(&mesh, "devices", &good, &["--dry-run"]).await;
    assert!(looked_at.status.success(), "{looked_at:?}");
    assert_eq!(told(&looked_at)["imported"], 0);
    assert!(!has_device(&mesh, "good-1").await);
    imported(&mesh, "devices", &good).await;
    assert!(has_device(&mesh, "good-1").await);
}

async fn has_device(mesh: &Mesh, id: &str) -> bool {
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let request = ListDevicesRequest {
        page_size: 1_000,
        ..ListDevicesRequest::default()
    };
    let reply = operator.devices().list_devices(request).await;
    let devices = reply.expect("a list").into_inner().devices;
    devices.iter().any(|device| device.device_id == id)
}

/// Sites of these names, from the second line on.
async fn import_sites(mesh: &Mesh, names: Vec<String>) -> Result<ImportResponse, tonic::Status> {
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let rows = (2..).zip(names).map(|(line, name)| ImportRow {
        line,
        external_id: format!("site-{line}"),
        object: Some(Object::Site(SiteRow { name })),
    });
    let rows: Vec<ImportRow> = rows.collect();
    let mut options = Some(ImportOptions {
        system: "reg".into(),
        validate_only: false,
    });
    let requests: Vec<ImportRequest> = rows
        .chunks(500)
        .map(|rows| ImportRequest {
            options: options.take(),
            rows: rows.to_vec(),
        })
        .collect();
    let mut imports = operator.imports();
    let reply = imports.import(futures::stream::iter(requests));
    reply.await.map(tonic::Response::into_inner)
}

async fn sites(mesh: &Mesh) -> usize {
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let mut client = operator.sites();
    let (mut count, mut page_token) = (0, String::new());
    loop {
        let request = ListSitesRequest {
            page_size: 1_000,
            page_token,
        };
        let reply = client
            .list_sites(request)
            .await
            .expect("a page")
            .into_inner();
        count += reply.sites.len();
        if reply.next_page_token.is_empty() {
            return count;
        }
        page_token = reply.next_page_token;
    }
}

async fn one_bad_row_keeps_all_the_others_out(mesh: Mesh) {
    let before = sites(&mesh).await;
    let mut names: Vec<String> = (0..1_200).map(|n| format!("Site {n}")).collect();
    names[1_199].clear();
    let reply = import_sites(&mesh, names.clone()).await.expect("an answer");
    assert_eq!((reply.imported, reply.faulty_rows), (0, 1));
    assert_eq!(
        (reply.faults[0].line, reply.faults[0].field.as_str()),
        (1_201, "name")
    );
    assert!(reply.object_ids.is_empty());
    assert_eq!(sites(&mesh).await, before);

    names[1_199].push_str("The last");
    let reply = import_sites(&mesh, names.clone()).await.expect("an answer");
    assert_eq!((reply.imported, reply.faulty_rows), (1_200, 0));
    assert_eq!(reply.object_ids.len(), 1_200);
    assert_eq!(sites(&mesh).await, before + 1_200);

    // Their external ids are taken now.
    let reply = import_sites(&mesh, names).await.expect("an answer");
    assert_eq!((reply.imported, reply.faulty_rows), (0, 1_200));
    assert_eq!(sites(&mesh).await, before + 1_200);
}

async fn an_import_is_bounded(mesh: Mesh) {
    let before = sites(&mesh).await;
    let many = (0..20_001).map(|n| format!("Site {n}")).collect();
    let large = vec!["x".repeat(2_000); 20_000];
    for names in [many, large] {
        let refused = import_sites(&mesh, names).await.expect_err("too much");
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
        let reason = mesh::error::reason(&refused).map(|(reason, _)| reason);
        assert_eq!(reason.as_deref(), Some("IMPORT_TOO_LARGE"));
    }
    assert_eq!(sites(&mesh).await, before);
}

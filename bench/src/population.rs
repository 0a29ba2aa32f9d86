//! Residents by the thousand in a mesh's registry, each with a car and a key.

use access_svc::{
    bulk::{self, Inhabitant, Place},
    plate::Plate,
};
use devmesh::estate::BARRIER;
use sea_orm::{ConnectionTrait, Database};
use uuid::Uuid;

use crate::{
    error::{Error, other},
    installed::Installed,
};

const SERVICE: &str = "access-svc";
/// The letters of Russian plates.
const LETTERS: &[u8; 12] = b"ABEKMHOPCTYX";
/// None of the estate's own.
const REGION: u8 = 78;

/// Of resident number so and so: over a million different ones.
pub(crate) fn plate(number: usize) -> String {
    let (digits, rest) = (1 + number % 999, number / 999);
    let letter = |place: u32| char::from(LETTERS[rest / 12_usize.pow(place) % 12]);
    format!("{}{digits:03}{}{}{REGION}", letter(2), letter(1), letter(0))
}

pub(crate) fn key(number: usize) -> String {
    format!("bench-key-{number}")
}

/// Fills the registry while its service does not run, and starts that again.
/// All of them may open the first partner's barrier and have paid.
pub(crate) async fn fill(mesh: &mut Installed, residents: usize) -> Result<(), Error> {
    mesh.processes.terminate(SERVICE).await?;
    let file = mesh.layout.config_file(SERVICE);
    let config: access_svc::Config = mesh::config::load(&file).map_err(other)?;
    let place = Place {
        partner: Uuid::parse_str(&mesh.estate.partner_id).map_err(other)?,
        device_id: BARRIER.into(),
    };
    let people = (0..residents).map(|number| Inhabitant {
        plate: Plate::parse(&plate(number), "RU").ok(),
        key: Some(key(number)),
    });
    bulk::fill(&config, &place, people).await.map_err(other)?;
    tidy(&config.database.url).await?;
    mesh.processes.restart(SERVICE).await?;
    Ok(())
}

/// Brings PostgreSQL to where its own upkeep has it a few minutes later, so
/// that this does not fall into what is measured.
async fn tidy(url: &str) -> Result<(), Error> {
    if !url.starts_with("postgres:") {
        return Ok(());
    }
    let connection = Database::connect(url).await.map_err(other)?;
    connection
        .execute_unprepared("VACUUM ANALYZE")
        .await
        .map_err(other)?;
    connection.close().await.map_err(other)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_million_residents_have_a_plate_each() {
        let plates: HashSet<String> = (0..1_000_000).map(plate).collect();
        assert_eq!(plates.len(), 1_000_000);
        for number in [0, 998, 999, 1_000, 500_000, 999_999] {
            let plate = plate(number);
            assert!(Plate::parse(&plate, "RU").is_ok(), "{plate}");
        }
        assert_eq!(plate(0), "A001AA78");
        assert_eq!(plate(999), "A001AB78");
    }
}

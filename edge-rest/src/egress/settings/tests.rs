use propdev_proto::access::Partner;

use super::*;

fn read(change: impl FnOnce(&mut Partner)) -> Result<Settings, SettingsFault> {
    let mut partner = Partner {
        token_url: "https://auth.partner.example/token".into(),
        api_base: "https://api.partner.example/base/".into(),
        ..Partner::default()
    };
    change(&mut partner);
    let client = PartnerClientCredentials {
        client_id: "a".into(),
        client_secret: "b".into(),
    };
    let answer = GetEgressSettingsResponse {
        partner: Some(partner),
        intercom: Some(client.clone()),
        barrier: Some(client),
    };
    Settings::read(
        answer,
        Addresses {
            allow_private: false,
        },
    )
}

#[test]
fn commands_go_below_the_base_and_stay_one_segment() {
    let settings = read(|_| {}).expect("settings");
    let url = |id| {
        settings
            .command_url(OurClient::Intercom, id)
            .map(String::from)
    };
    assert_eq!(
        url("door:1").as_deref(),
        Some("https://api.partner.example/base/v1/doors/door%3A1/open")
    );
    assert_eq!(
        settings
            .command_url(OurClient::Barrier, "b..2")
            .map(String::from)
            .as_deref(),
        Some("https://api.partner.example/base/v1/barriers/b..2/open")
    );
    assert_eq!((url("."), url("..")), (None, None));
    assert_eq!(
        url("../x?").as_deref(),
        Some("https://api.partner.example/base/v1/doors/..%2Fx%3F/open")
    );
}

#[test]
fn settings_that_lead_astray_are_refused() {
    use SettingsFault::{Ca, NotHttps, NotPublic, Path};
    let fault = |change: fn(&mut Partner)| read(change).err();
    assert_eq!(
        fault(|p| p.token_url = "http://a.example/".into()),
        Some(NotHttps("token_url"))
    );
    assert_eq!(
        fault(|p| p.token_url = "nonsense".into()),
        Some(NotHttps("token_url"))
    );
    assert_eq!(
        fault(|p| p.api_base = "https://u:p@a.example".into()),
        Some(NotHttps("api_base"))
    );
    assert_eq!(
        fault(|p| p.api_base = "https://a.example?x".into()),
        Some(NotHttps("api_base"))
    );
    assert_eq!(
        fault(|p| p.api_base = "https://10.0.0.1".into()),
        Some(NotPublic("api_base"))
    );
    assert_eq!(
        fault(|p| p.door_path = "@evil.example/{device_id}".into()),
        Some(Path("door_path"))
    );
    assert_eq!(
        fault(|p| p.barrier_path = "/open".into()),
        Some(Path("barrier_path"))
    );
    assert_eq!(fault(|p| p.ca_pem = "none".into()), Some(Ca));
}

use std::collections::BTreeMap;
use std::fs;
use std::iter;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Error, Flag, Kind, Loaded, Origin, Sections, load};
use crate::telemetry;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Tree {
    log: telemetry::Config,
    server: Server,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Server {
    listen: SocketAddr,
    members: Vec<String>,
    tick: String,
    log_max: Size,
    insecure: bool,
    queue: u32,
    shared_dir: Option<PathBuf>,
}

/// Something that is written as text, in Mi or Gi, and can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Size(u64);

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = |unit| text.strip_suffix(unit).and_then(|number| number.parse::<u64>().ok());
        let mib = number("Mi").or_else(|| number("Gi").map(|gib| gib * 1024));
        mib.map(Self).ok_or_else(|| format!("\"{text}\" is no size"))
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        format!("{}Mi", size.0)
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7480)),
            members: Vec::new(),
            tick: "50ms".to_owned(),
            log_max: Size(64),
            insecure: false,
            queue: 4096,
            shared_dir: None,
        }
    }
}

impl Sections for Tree {
    const OPTIONAL: &'static [(&'static str, Kind)] = &[("server.shared_dir", Kind::String)];
    const ALIASES: &'static [(&'static str, &'static str)] = &[("BERTH_TEST_MEMBERS", "server.members")];
}

fn given(text: &str, env: &[(&str, &str)], flags: Vec<Flag>) -> Result<Loaded<Tree>, String> {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("berth.toml");
    fs::write(&path, text).unwrap();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let place = format!("{}/", home.path().display());
    load::<Tree>(Some(&path), env, flags).map_err(|error| error.to_string().replace(&place, ""))
}

#[test]
fn a_flag_wins_over_a_variable_over_the_file_over_the_default() {
    let text = "[server]\ntick = \"1s\"\nlog_max = \"1Gi\"\nqueue = 7\n";
    let env = [("BERTH_SERVER_LOG_MAX", "2Gi"), ("BERTH_SERVER_QUEUE", "8"), ("PATH", "/bin")];
    let loaded = given(text, &env, vec![Flag::new("server.queue", "--queue", 9)]).unwrap();
    let server = &loaded.value.server;
    assert_eq!((server.queue, server.log_max, server.tick.as_str()), (9, Size(2048), "1s"));
    assert_eq!(*loaded.origin("server.listen"), Origin::Default);
    assert!(matches!(loaded.origin("server.tick"), Origin::File { line: 2, .. }));
    assert_eq!(*loaded.origin("server.log_max"), Origin::Env { name: "BERTH_SERVER_LOG_MAX".to_owned() });
    assert_eq!(*loaded.origin("server.queue"), Origin::Flag { name: "--queue".to_owned() });
}

#[test]
fn the_listing_shows_every_key_with_its_origin_and_is_itself_a_configuration() {
    let loaded =
        given("labels = { zone = \"a\" }\n[server]\nmembers = [\"a:1\"]\n", &[], Vec::new()).unwrap();
    let listing = loaded.show();
    assert!(listing.contains("server.listen = \"127.0.0.1:7480\""), "{listing}");
    assert!(
        listing.lines().any(|line| line.starts_with("# server.shared_dir") && line.ends_with("# not set")),
        "{listing}"
    );
    assert!(
        listing
            .lines()
            .any(|line| line.starts_with("server.members = [\"a:1\"]") && line.ends_with("berth.toml:3"))
    );
    let again = given(&listing, &[], Vec::new()).unwrap();
    assert_eq!(again.value.labels, loaded.value.labels);
    assert_eq!(again.value.server.members, loaded.value.server.members);
}

#[test]
fn all_mistakes_are_told_at_once_with_their_places_and_a_way_out() {
    let text = "[server]\nlistn = \"127.0.0.1:1\"\ntick = 10\nlog_max = \"64 parrots\"\nlisten = \"here\"\n\n[serve]\nx = 1\n[log]\nformat = \"xml\"\n";
    let env = [("BERTH_SERVER_QUEU", "1"), ("BERTH_SERVER_INSECURE", "perhaps"), ("BERTH_TASK_INDEX", "0")];
    let refusal = given(text, &env, vec![Flag::new("server.queue", "--queue", "-1")]).unwrap_err();
    let wanted = [
        "the configuration has 9 mistakes:",
        "berth.toml:2: unknown key server.listn; did you mean server.listen?",
        "berth.toml:3: server.tick wants a text in quotes, not a whole number; the default is \"50ms\"",
        "berth.toml:4: server.log_max: \"64 parrots\" is no size",
        "berth.toml:5: server.listen: invalid socket address syntax; the default is \"127.0.0.1:7480\"",
        "berth.toml:7: unknown key serve; did you mean server?",
        "berth.toml:10: log.format: unknown variant `xml`, expected `text` or `json`; the default is \"text\"",
        "BERTH_SERVER_QUEU: no setting has this name; did you mean BERTH_SERVER_QUEUE?",
        "BERTH_SERVER_INSECURE: \"perhaps\" is not true or false",
        "--queue: server.queue: invalid value: integer `-1`, expected u32; the default is 4096",
    ];
    for line in wanted {
        assert!(refusal.contains(line), "{line}\nis missing in\n{refusal}");
    }
}

#[test]
fn a_syntax_mistake_names_its_line() {
    let refusal = given("[server]\nqueue = 1\ntick = \n", &[], Vec::new()).unwrap_err();
    assert!(refusal.contains("berth.toml:3: "), "{refusal}");
}

#[test]
fn a_missing_file_says_which_flag_named_it() {
    let error = load::<Tree>(Some("/nowhere/berth.toml".as_ref()), iter::empty(), Vec::new()).unwrap_err();
    assert!(matches!(error, Error::Read { .. }) && error.to_string().contains("--config"), "{error}");
}

#[test]
fn lists_and_maps_are_given_as_text_and_a_repeated_flag_adds() {
    let member = |value: &str| Flag::new("server.members", "--member", value);
    let env = [("BERTH_LABELS", "zone=a, rack=7"), ("BERTH_SERVER_SHARED_DIR", "/srv/shared")];
    let loaded = given("", &env, vec![member("a:1,b:2"), member("c:3")]).unwrap();
    assert_eq!(loaded.value.server.members, ["a:1", "b:2", "c:3"]);
    assert_eq!(loaded.value.labels["rack"], "7");
    assert_eq!(loaded.value.server.shared_dir.as_deref(), Some("/srv/shared".as_ref()));
}

#[test]
fn the_callers_own_check_blames_the_place_of_the_value() {
    let loaded = given("[server]\nqueue = 0\n", &[], Vec::new()).unwrap();
    let problem = loaded.blame("server.queue", "must be at least 1");
    let error = Error::from_problems(vec![problem]).unwrap_err().to_string();
    assert!(error.ends_with("berth.toml:2: server.queue: must be at least 1"), "{error}");
}

#[test]
fn an_alias_stands_above_the_file_and_below_the_variable_of_the_key_and_the_flag() {
    let text = "[server]\nmembers = [\"file:1\"]\n";
    let alias = ("BERTH_TEST_MEMBERS", "a:1,b:1");
    let own = ("BERTH_SERVER_MEMBERS", "own:1");
    let flag = || vec![Flag::new("server.members", "--member", "flag:1")];
    let env = |name: &str| Origin::Env { name: name.to_owned() };
    for (env, flags, members, origin) in [
        (vec![alias], Vec::new(), vec!["a:1", "b:1"], env("BERTH_TEST_MEMBERS")),
        (vec![alias, own], Vec::new(), vec!["own:1"], env("BERTH_SERVER_MEMBERS")),
        (vec![alias], flag(), vec!["flag:1"], Origin::Flag { name: "--member".to_owned() }),
    ] {
        let loaded = given(text, &env, flags).unwrap();
        assert_eq!(loaded.value.server.members, members);
        assert_eq!(*loaded.origin("server.members"), origin);
    }
}

//! What a container is made of: the options that are always set.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, ContainerSummary, HostConfig, HostConfigLogConfig, ImageConfig, Mount, MountType,
    RestartPolicy, RestartPolicyNameEnum,
};

use super::Config;
use super::trace::Trace;
use super::writable::Places;
use crate::executor::Launch;

/// The user of containers whose image names none, or root.
const NOBODY: u32 = 65_534;
/// Processor shares of one core.
const SHARES_OF_CORE: u64 = 1024;
/// The bounds that the kernel sets to shares.
const SHARES: (u64, u64) = (2, 262_144);

/// Whom a container runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    /// As the engine understands it.
    pub(super) name: String,
    /// Its user and group, where the image names them by number.
    pub(super) id: Option<(u32, u32)>,
}

impl User {
    /// The image's own user, unless that is root.
    pub(super) fn of(image: &ImageConfig) -> User {
        let name = image.user.as_deref().unwrap_or_default();
        let (user, group) = name.split_once(':').unwrap_or((name, ""));
        match (user, user.parse::<u32>()) {
            ("" | "root", _) | (_, Ok(0)) => {
                User { name: format!("{NOBODY}:{NOBODY}"), id: Some((NOBODY, NOBODY)) }
            }
            (_, number) => {
                let id = number.ok().map(|uid| (uid, group.parse().unwrap_or(uid)));
                User { name: name.to_owned(), id }
            }
        }
    }
}

/// The name of an attempt's container: unique at the engine, so that there can be no second one.
pub(super) fn name(config: &Config, attempt_name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '-' };
    format!("berth-{}-{attempt_name}", config.agent).chars().map(fits).collect()
}

/// The labels by which the containers of this agent are found.
pub(super) fn labels_of_agent(config: &Config) -> Vec<String> {
    vec![format!("berth.agent={}", config.agent)]
}

/// The labels by which the container of one attempt is found.
pub(super) fn labels_of_attempt(config: &Config, launch: &Launch) -> Vec<String> {
    let mut labels = labels_of_agent(config);
    labels.push(format!("berth.attempt={}", launch.attempt.0));
    labels.push(format!("berth.name={}", launch.name));
    labels
}

/// The container of an attempt that may have been begun: the one that was noted, else the one that it would get now.
pub(super) fn of_attempt(config: &Config, launch: &Launch) -> String {
    let noted = Trace::find(&launch.dir).flatten().map(|trace| trace.container);
    noted.unwrap_or_else(|| name(config, &launch.name))
}

/// The name of a listed container.
pub(super) fn listed_name(listed: &ContainerSummary) -> Option<String> {
    Some(listed.names.as_ref()?.first()?.trim_start_matches('/').to_owned())
}

/// The whole container, of the image with this id; its name is for people. Paths that are no text cannot be mounted and
/// are given back as an error.
pub(super) fn body(
    config: &Config,
    launch: &Launch,
    image_id: &str,
    (image, command): (&str, &[String]),
    own: &ImageConfig,
    places: &Places,
) -> Result<ContainerCreateBody, String> {
    let mut mounts = Vec::new();
    for path in places.all() {
        let path = path.to_str().ok_or_else(|| format!("the path {} is no text", path.display()))?;
        mounts.push(Mount {
            target: Some(path.to_owned()),
            source: Some(path.to_owned()),
            typ: Some(MountType::BIND),
            ..Default::default()
        });
    }
    let has_dir = own.working_dir.as_deref().is_some_and(|dir| !matches!(dir, "" | "/"));
    let mut env: Vec<String> = launch.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if launch.env.iter().all(|(key, _)| key != "BERTH_OUTPUT") {
        env.push(format!("BERTH_OUTPUT={}", places.output.display()));
    }
    let mut labels = labels_of_attempt(config, launch);
    labels.push(format!("berth.node={}", config.node));
    labels.push(format!("berth.image={image}"));
    let labels = labels.iter().filter_map(|label| label.split_once('='));
    Ok(ContainerCreateBody {
        image: Some(image_id.to_owned()),
        cmd: (!command.is_empty()).then(|| command.to_vec()),
        env: Some(env),
        user: Some(User::of(own).name),
        working_dir: (!has_dir).then(|| places.task.display().to_string()),
        labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()),
        host_config: Some(host_config(config, launch, mounts)),
        ..Default::default()
    })
}

fn host_config(config: &Config, launch: &Launch, mounts: Vec<Mount>) -> HostConfig {
    let shares = launch.limits.cpu_milli.saturating_mul(SHARES_OF_CORE) / 1000;
    let memory = launch.limits.memory_max.map(number);
    let log = HashMap::from([
        ("max-size".to_owned(), config.log.segment_bytes.to_string()),
        ("max-file".to_owned(), config.log.segments.to_string()),
    ]);
    HostConfig {
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        cap_drop: Some(vec!["ALL".to_owned()]),
        privileged: Some(false),
        readonly_rootfs: Some(true),
        tmpfs: Some([("/tmp".to_owned(), "rw,exec,nosuid,nodev,mode=1777".to_owned())].into()),
        init: Some(true),
        pids_limit: Some(number(launch.limits.pids_max)),
        cpu_shares: Some(number(shares.clamp(SHARES.0, SHARES.1))),
        memory,
        // Equal to memory: no swap on top of it.
        memory_swap: memory,
        network_mode: Some("none".to_owned()),
        // The container is the evidence of its end until that is acknowledged.
        auto_remove: Some(false),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: Some(HostConfigLogConfig { typ: Some("json-file".to_owned()), config: Some(log) }),
        mounts: Some(mounts),
        ..Default::default()
    }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> User {
        User::of(&ImageConfig { user: Some(name.to_owned()), ..Default::default() })
    }

    #[test]
    fn no_container_runs_as_root() {
        for root in ["", "root", "0", "0:0", "root:root", "00"] {
            assert_eq!(user(root).id, Some((NOBODY, NOBODY)), "{root}");
        }
    }

    #[test]
    fn an_image_keeps_its_own_user() {
        assert_eq!(user("1000:7"), User { name: "1000:7".to_owned(), id: Some((1000, 7)) });
        assert_eq!(user("app"), User { name: "app".to_owned(), id: None });
    }
}

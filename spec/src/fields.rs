//! The spec's tables: every field there is, with its type, its default and what it means. The
//! defaults of a spec are here and nowhere else.

use crate::object::{Layout, Object, object};
use crate::reader::At;
use crate::shape::amount::{Amount, Cpu, Memory};
use crate::shape::command::Command;
use crate::shape::count::CountShape;
use crate::shape::document::{ApiVersion, Kind};
use crate::shape::duration::{DurationIn, WithoutContact};
use crate::shape::env::Env;
use crate::shape::number::{Factor, IntIn};
use crate::shape::schedule::{Instant, OverlapWord, Period};
use crate::shape::task_list::TaskList;
use crate::shape::template::TemplateText;
use crate::shape::text::{FreeText, Name};
use crate::shape::{NotYet, OnDisconnectShape};

const SECOND: u64 = 1000;
const HOUR: u64 = 3600 * SECOND;
const DAY: u64 = 24 * HOUR;

/// How long an attempt may be allowed to run.
pub(crate) type Timeout = DurationIn<1, { 366 * DAY }>;
/// How long a wait may be.
pub(crate) type Wait = DurationIn<1, { 7 * DAY }>;
/// How long a task may take to stop.
pub(crate) type Grace = DurationIn<0, HOUR>;

object! {
    /// A job: what runs, when, and for whom.
    JobFields, "the job" {
        /// The version of this format: `berth/v1`.
        required api_version as "apiVersion": ApiVersion, aka "version", aka "api";
        /// What the document describes: `Job`, whose runs end by themselves.
        required kind: Kind, aka "type";
        /// The job's name within its tenant.
        required name: Name, aka "job", aka "id", aka "metadata";
        /// The owner, whose share of the cluster the job uses.
        optional tenant: Name = "default", aka "namespace", aka "project", aka "owner", aka "user";
        /// From 0 to 100; within a tenant, higher goes first.
        optional priority: IntIn<0, 100> = "50", aka "prio", aka "nice";
        /// When the job fires by itself; without it, it runs when it is told to.
        optional schedule: ScheduleFields, aka "trigger", aka "triggers", aka "when";
        /// Files that runs read, from which dependencies are inferred.
        not_yet inputs: NotYet;
        /// Files that runs write, from which dependencies are inferred.
        not_yet outputs: NotYet;
        /// Who is told how runs end.
        not_yet notify: NotYet, aka "notifications";
        /// What is done when a run fails.
        not_yet on_failure: NotYet;
        /// The steps of a run.
        required tasks: TaskList, aka "steps", aka "task", aka "jobs", aka "taskgroups", aka "spec";
    }
}

object! {
    /// When a job fires by itself: exactly one of `every` and `at`.
    ScheduleFields, "schedule" {
        /// At every whole multiple of this period since the start of 1970 in UTC; at least `1s`.
        optional every: Period, aka "interval", aka "period";
        /// Once, at this instant of RFC 3339.
        optional at: Instant, aka "once", aka "time", aka "date";
        /// What happens to an instant that comes while an earlier run is active: `skip` or `allow_all`.
        optional overlap: OverlapWord = "skip", aka "concurrency", aka "concurrencypolicy";
        /// At the minutes that a cron expression names.
        not_yet cron: NotYet, aka "crontab";
        /// The time zone in which `cron` is meant.
        not_yet timezone: NotYet, aka "tz", aka "zone", aka "time_zone";
        /// What happens to instants that passed while no server was up.
        not_yet catch_up: NotYet, aka "catchup";
        /// The first instant at which the job may fire.
        not_yet start: NotYet;
        /// The last instant at which the job may fire.
        not_yet end: NotYet;
        /// A delay that spreads fires of one instant.
        not_yet jitter: NotYet;
    }
}

object! {
    /// A named step of every run of the job. It needs exactly one executor.
    TaskFields, "task" {
        /// Its name within the job.
        required name: Name, aka "id", aka "task";
        /// The tasks that must succeed first.
        optional after: Vec<At<Name>>, aka "depends_on", aka "dependson", aka "depends", aka "needs", aka "requires",
            aka "dependencies", aka "upstream";
        /// How many of it a run has, each with its own index: a number, or an output of an earlier task, one
        /// for each of its values: `"${tasks.split.outputs.parts}"`.
        optional count: CountShape, aka "parallelism", aka "replicas", aka "instances", aka "array", aka "completions";
        /// Runs a program of the node in a sandbox.
        executor exec: ExecFields, aka "command", aka "cmd", aka "run", aka "script", aka "shell", aka "process";
        /// Runs a container of the Docker engine.
        executor docker: DockerFields, aka "container", aka "image", aka "podman";
        /// Pretends to work, on nodes that offer it; for tests.
        executor fake: FakeFields;
        /// What each of it asks for.
        optional resources: ResourceFields = "{}", aka "resource", aka "limits", aka "requests";
        /// Environment variables: text, in which variables are replaced, or numbers as they are written.
        optional env: Env, aka "environment", aka "envs", aka "variables", aka "vars";
        /// How often and when it is tried again; without it there is one attempt.
        optional retry: RetryFields, aka "retries", aka "restart", aka "backofflimit";
        /// How long one attempt may run; without it there is no limit.
        optional timeout: Timeout, aka "timeout_seconds", aka "max_runtime", aka "deadline", aka "time_limit";
        /// How long it has between the request to stop and the kill.
        optional stop_grace: Grace = "10s", aka "grace_period", aka "kill_timeout",
            aka "terminationgraceperiodseconds";
        /// What its node does with it while it has no contact to the servers: `keep`, also when it is started
        /// elsewhere, or `{ stop_after: 30s }`: it is stopped then, and started elsewhere only after that.
        optional on_disconnect: OnDisconnectShape = "keep";
        /// Which outcomes of earlier tasks it waits for, other than that all succeed.
        not_yet when: NotYet, aka "trigger_rule", aka "if";
        /// What a node must be or have.
        not_yet constraints: NotYet, aka "constraint", aka "node_selector", aka "nodeselector", aka "affinity";
        /// What must be true before it starts.
        not_yet preconditions: NotYet, aka "precondition";
        /// What must be true after it ends.
        not_yet postconditions: NotYet, aka "postcondition";
        /// Files that it reads.
        not_yet inputs: NotYet;
        /// Files that it writes.
        not_yet outputs: NotYet;
        /// What is done when it fails.
        not_yet on_failure: NotYet;
    }
}

object! {
    /// A program of the node.
    ExecFields, "exec" {
        /// The program and its arguments; no shell looks at them.
        required command: Command, aka "cmd", aka "args", aka "argv", aka "script", aka "run";
    }
}

object! {
    /// A container of the Docker engine.
    DockerFields, "docker" {
        /// The image, with its tag.
        required image: TemplateText, aka "img", aka "container";
        /// What runs in it in place of the image's own command.
        optional command: Command, aka "cmd", aka "args", aka "argv", aka "entrypoint";
    }
}

object! {
    /// Simulated work.
    FakeFields, "fake" {
        /// How long an attempt runs.
        optional runs_for: DurationIn<0, { 366 * DAY }> = "0s", aka "duration", aka "sleep";
        /// How many attempts fail first, with exit code 1.
        optional fail_first: IntIn<0, 1_000_000> = "0";
        /// The exit code of those after that.
        optional exit_code: IntIn<0, 255> = "0", aka "exit";
        /// What it writes to its output file, lines of `key=value`.
        optional output: FreeText, aka "outputs";
    }
}

object! {
    /// What a task asks for: `cpu`, `memory`, and any other resource that nodes offer, in units or
    /// thousandths.
    ResourceFields, "resources", others Amount {
        /// Cores: `"1"`, `1.5`, or thousandths as in `500m`.
        optional cpu: Cpu = "100m", aka "cpus", aka "cores", aka "core", aka "vcpu", aka "vcpus", aka "cpu_limit";
        /// Memory with its unit: `512Mi` or `512M`.
        optional memory: Memory = "64Mi", aka "mem", aka "ram", aka "memory_mb", aka "memory_request";
        /// Memory past which the task is ended; at least `memory`.
        optional memory_max: Memory, aka "mem_max", aka "memory_limit", aka "max_memory", aka "mem_limit";
    }
}

object! {
    /// How often and when a task is tried again.
    RetryFields, "retry" {
        /// Attempts in all, the first one included. Attempts lost with their node do not count.
        required max_attempts: IntIn<1, 1000>, aka "attempts", aka "max_retries", aka "retries", aka "limit",
            aka "max";
        /// How long to wait before trying again.
        optional backoff: BackoffFields = "{}", aka "delay", aka "wait", aka "interval";
    }
}

object! {
    /// How long to wait before trying again.
    BackoffFields, "backoff" {
        /// The wait before the second attempt.
        optional initial: Wait = "10s", aka "start", aka "min", aka "base", aka "delay";
        /// By what the wait grows each time, with up to three decimals.
        optional factor: Factor = "2", aka "multiplier", aka "exponent";
        /// The longest wait.
        optional max: Wait = "5m", aka "limit", aka "cap", aka "maximum";
    }
}

object! {
    /// What a node does with a task while it has no contact to the servers.
    StopAfterFields, "on_disconnect" {
        /// It is stopped after this long, at least `5s`, so that the servers may start it elsewhere.
        required stop_after: WithoutContact, aka "after", aka "stop";
    }
}

/// Every table, from the outside in.
pub(crate) fn layouts() -> [Layout; 10] {
    [
        JobFields::LAYOUT,
        TaskFields::LAYOUT,
        ScheduleFields::LAYOUT,
        ExecFields::LAYOUT,
        DockerFields::LAYOUT,
        FakeFields::LAYOUT,
        ResourceFields::LAYOUT,
        RetryFields::LAYOUT,
        BackoffFields::LAYOUT,
        StopAfterFields::LAYOUT,
    ]
}

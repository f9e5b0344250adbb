//! Files of jobs that are right, wrong, and nothing of the kind.

use super::*;

fn jobs(text: &str) -> Result<Vec<Job>, String> {
    let path = Path::new("jobs.toml");
    JobsFile { path, text }.jobs().map_err(|error| error.to_string())
}

#[test]
fn a_job_is_what_its_flags_say() {
    let found = jobs(
        "[jobs.home]\nsources = [\"/home\", \"/etc\"]\ntarget = \"s3://backups/home/\"\n\
         endpoint-url = \"http://127.0.0.1:9000\"\nexclude = [\"*.tmp\"]\nretries = 3\ncreate-bucket = true\n",
    )
    .expect("jobs");
    let [job] = &found[..] else { panic!("{found:?}") };
    assert_eq!(
        (job.name.as_str(), job.sources.len(), job.create_bucket),
        ("home", 2, true)
    );
    assert_eq!(job.store.endpoint_url.as_deref(), Some("http://127.0.0.1:9000"));
    assert_eq!(job.target.prefix(), "home/");
}

#[test]
fn the_order_of_patterns_is_that_of_the_file() {
    use crate::source::FilterAction::{Exclude, Include};
    let of = |lines: &str| {
        let job = format!("[jobs.a]\nsources = [\"/a\"]\ntarget = \"s3://bucket/a/\"\n{lines}");
        let mut found = jobs(&job).expect("jobs");
        found.remove(0).filter.patterns().to_vec()
    };
    let (all, jpg) = ("*".to_owned(), "*.jpg".to_owned());
    assert_eq!(
        of("exclude = \"*\"\ninclude = \"*.jpg\"\n"),
        [(Exclude, all.clone()), (Include, jpg.clone())]
    );
    assert_eq!(
        of("include = \"*.jpg\"\nexclude = \"*\"\n"),
        [(Include, jpg), (Exclude, all)]
    );
}

#[test]
fn two_servers_may_have_the_same_target() {
    let job = |name: &str, port: u16| {
        format!(
            "[jobs.{name}]\nsources = [\"/a\"]\ntarget = \"s3://bucket/a/\"\nendpoint-url = \"http://127.0.0.1:{port}\"\n"
        )
    };
    assert_eq!(jobs(&(job("a", 1) + &job("b", 2))).expect("two").len(), 2);
    assert!(jobs(&(job("a", 1) + &job("b", 1))).is_err());
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let job = "[jobs.a]\nsources = [\"/a\"]\ntarget = \"s3://bucket/a/\"\n";
    for (text, says) in [
        ("x = 1", "jobs.toml:1:1: 'x' is nothing that is known"),
        ("[jobs.a]\nsources = 1 2", "jobs.toml:2:"),
        (
            &format!("{job}color = 1\n"),
            "jobs.toml:4:1: 'color' is nothing that a job can say",
        ),
        (
            &format!("{job}retries = \"many\"\n"),
            "jobs.toml:4:11: 'retries' is a number",
        ),
        (
            &format!("{job}create-bucket = \"yes\"\n"),
            "jobs.toml:4:17: 'create-bucket' is true or false",
        ),
        (
            &format!("{job}[jobs.\"a/b\"]\n"),
            "jobs.toml:4:7: 'a/b' is no name",
        ),
        (
            "[jobs.a]\nsources = [\"/a\"]\n",
            "jobs.toml:1:7: the job does not say 'target'",
        ),
        (
            "[jobs.a]\nsources = [\"/a\"]\ntarget = \"s3://bucket\"\n",
            "has no prefix",
        ),
        (
            &format!("{job}[jobs.b]\nsources = [\"/b\"]\ntarget = \"s3://bucket/a\"\n"),
            "jobs.toml:4:7: job 'b' has the target of job 'a'",
        ),
        (
            &format!("{job}[jobs.b]\nsources = [\"/b\"]\ntarget = \"s3://bucket/a/data/\"\n"),
            "or lies in it",
        ),
    ] {
        let error = jobs(text).expect_err(says);
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn so_is_what_is_wrong_about_values() {
    let job = "[jobs.a]\nsources = [\"/a\"]\ntarget = \"s3://bucket/a/\"\n";
    for (text, says) in [
        (
            &*format!("{job}schedule = \"61 * * * *\"\n"),
            "jobs.toml:4:12: invalid value '61 * * * *' for '--schedule <SCHEDULE>': at letter 1: '61' is no minute",
        ),
        (
            &format!("{job}batch-small = \"auto\"\n"),
            "jobs.toml:4:1: 'batch-small' is nothing for a backup",
        ),
        (
            &format!("{job}keep-daily = -1\n"),
            "jobs.toml:4:14: invalid value '-1'",
        ),
        (
            &format!("{job}max-age = \"soon\"\n"),
            "jobs.toml:4:11: invalid value 'soon'",
        ),
        (&format!("{job}[jobs.a]\n"), "jobs.toml:4:"),
        (
            "[jobs.a]\nsources = [\"a\"]\ntarget = \"s3://bucket/a/\"\n",
            "jobs.toml:2:11: source 'a' is not an absolute path",
        ),
        (
            "[jobs.a]\nsources = [\"/\"]\ntarget = \"s3://bucket/a/\"\n",
            "has no name",
        ),
    ] {
        let error = jobs(text).expect_err(says);
        assert!(error.contains(says), "{error}");
    }
}

proptest::proptest! {
    #[test]
    fn whatever_is_in_the_file_is_a_job_or_an_error(
        lines in proptest::collection::vec(
            proptest::sample::select(vec![
                "[jobs.a]", "[jobs]", "[[jobs.a]]", "sources = [\"/a\"]", "sources = \"/a\"", "target = \"s3://bucket/a/\"",
                "target = 1", "retries = 3", "retries = [\"3\"]", "exclude = [\"*\", \"[\"]", "schedule = \"* * 31 2 *\"",
                "create-bucket = true", "keep-last = 99999999999", "max-age = \"-1h\"", "= 1", "\u{0}", "name = 1", "\"\" = 1",
            ]),
            0..8)
    ) {
        let _ = jobs(&lines.join("\n"));
    }
}

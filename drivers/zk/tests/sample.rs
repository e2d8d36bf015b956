//! The sample in the documentation is a config that works, with every key there is.

use std::{fs, path::Path};

use driver_api::{Problems, Section, TerminalBlock};

#[test]
fn the_sample_loads_without_a_problem() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::temp_dir().join(format!("punchgate-zk-sample-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("front-door.key"), "1234\n").unwrap();
    let mut sample: toml::Table = fs::read_to_string(here.join("sample.toml")).unwrap().parse().unwrap();
    let mut settings = sample["driver"]["zk"].as_table().unwrap().clone();
    let mut block = sample.remove("terminal").unwrap().as_array().unwrap()[0].as_table().unwrap().clone();
    for gateways_own in ["name", "driver"] {
        assert!(block.remove(gateways_own).is_some());
    }
    // No key is left out: a misspelt one is answered with the list of those that were asked for.
    let keys = [&settings, &block].map(|table| table.keys().cloned().collect::<Vec<_>>());
    for table in [&mut settings, &mut block] {
        table.insert("qqqqqqqqqqqqqqqqqqqq".into(), true.into());
    }
    let mut problems = Problems::default();
    let blocks = vec![TerminalBlock {
        name: "front-door".into(),
        zone: jiff::tz::TimeZone::UTC,
        section: Section::new("terminal \"front-door\" ", block, &*folder),
    }];
    (driver_zk::KIND.plan)(Section::new("driver.zk.", settings, &*folder), blocks, &mut problems);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(problems.errors.len(), 2, "{:#?}", problems.errors);
    for (problem, keys) in problems.errors.iter().zip(keys) {
        let known = problem.mend.strip_prefix("delete it; known here: ").unwrap();
        assert_eq!(known.split(", ").collect::<Vec<_>>(), keys, "the sample has every key, and only those");
    }
}

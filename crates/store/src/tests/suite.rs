//! Every case of the suite, over SQLite.

use super::Folder;

crate::conformance!(Folder::new());

#[test]
fn every_case_is_in_the_list() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/conformance");
    let list = include_str!("../conformance/mod.rs");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for case in text.split("pub async fn ").skip(1).filter_map(|rest| rest.split_once("(place:")) {
            let module = path.file_stem().unwrap().to_str().unwrap();
            assert!(list.contains(&format!("{module}::{},", case.0)), "{module}::{} is not run", case.0);
        }
    }
}

//! The wire format only grows: a field, value or method that is in the golden list and not in the descriptors was removed or
//! renumbered, and old logs and clients would read something else.

use std::collections::BTreeSet;
use std::path::Path;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};

const GOLDEN: &str = "tests/golden/wire.txt";

#[test]
fn nothing_on_the_wire_is_removed_or_renumbered() {
    let now = listing();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let text: String = now.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(GOLDEN, text).unwrap();
        return;
    }
    let golden = std::fs::read_to_string(Path::new(GOLDEN)).unwrap();
    let golden: BTreeSet<String> = golden.lines().map(str::to_owned).collect();
    let gone: Vec<&String> = golden.difference(&now).collect();
    assert!(gone.is_empty(), "removed or renumbered, which breaks old logs and clients: {gone:#?}");
    let new: Vec<&String> = now.difference(&golden).collect();
    assert!(new.is_empty(), "new; if they are meant, run with UPDATE_GOLDEN=1: {new:#?}");
}

#[test]
fn every_enum_begins_with_unspecified() {
    let zeros = listing();
    let zeros: Vec<&String> = zeros.iter().filter(|line| line.ends_with(" = 0")).collect();
    assert!(!zeros.is_empty());
    for zero in zeros {
        assert!(zero.contains("UNSPECIFIED"), "{zero}");
    }
}

/// A line for every field, enum value and method.
fn listing() -> BTreeSet<String> {
    let files = FileDescriptorSet::decode(berth_proto::DESCRIPTORS).expect("the build wrote it");
    let mut lines = BTreeSet::new();
    for file in files.file {
        let package = file.package().to_owned();
        for message in &file.message_type {
            list_message(&package, message, &mut lines);
        }
        for one in &file.enum_type {
            list_enum(&package, one, &mut lines);
        }
        for service in &file.service {
            for method in &service.method {
                let stream = |is: bool| if is { "stream " } else { "" };
                lines.insert(format!(
                    "rpc {package}.{}.{}({}{}) returns ({}{})",
                    service.name(),
                    method.name(),
                    stream(method.client_streaming()),
                    method.input_type(),
                    stream(method.server_streaming()),
                    method.output_type(),
                ));
            }
        }
    }
    lines
}

fn list_message(scope: &str, message: &DescriptorProto, lines: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", message.name());
    for field in &message.field {
        let kind = match field.r#type() {
            Type::Message | Type::Enum => field.type_name().to_owned(),
            scalar => format!("{scalar:?}").to_lowercase(),
        };
        let repeated = if field.label() == Label::Repeated { "repeated " } else { "" };
        lines.insert(format!("{name}.{} = {} {repeated}{kind}", field.name(), field.number()));
    }
    for inner in &message.nested_type {
        list_message(&name, inner, lines);
    }
    for inner in &message.enum_type {
        list_enum(&name, inner, lines);
    }
}

fn list_enum(scope: &str, one: &EnumDescriptorProto, lines: &mut BTreeSet<String>) {
    for value in &one.value {
        lines.insert(format!("{scope}.{}.{} = {}", one.name(), value.name(), value.number()));
    }
}

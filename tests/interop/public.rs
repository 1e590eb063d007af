//! The public messages beside the repository, as they are and with CR, through `isthmus send` into the daemon.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use outbox::{Key, Store, StoreOptions};
use serde_json::Value;

use super::{
    daemon,
    site::{
        self, people,
        wire::{Wire, framed, msa},
    },
};

/// Every answer there is (HL7 table 0008).
const CODES: [&str; 6] = ["AA", "CA", "AE", "CE", "AR", "CR"];

/// The folder of the messages, from a checkout or from a worktree beside it.
fn folder() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["../../shared/data/hl7", "../../../shared/data/hl7"].map(|relative| root.join(relative));
    let found = folders.into_iter().find(|folder| folder.is_dir());
    if found.is_none() {
        println!("skipped: no ../shared/data");
    }
    found
}

/// The lines that are not blank.
fn lines(message: &[u8]) -> Vec<Vec<u8>> {
    let lines = message.split(|byte| matches!(byte, b'\r' | b'\n'));
    lines.filter(|line| !line.trim_ascii().is_empty()).map(<[u8]>::to_vec).collect()
}

/// Whether a message asks for no answer of either kind (MSH-15 and MSH-16 are NE, or one is and the other empty).
fn asks_for_silence(path: &Path) -> bool {
    let header = lines(&fs::read(path).unwrap()).remove(0);
    let fields: Vec<&[u8]> = header.split(|byte| *byte == b'|').collect();
    let asked = [14, 15].map(|at| fields.get(at).copied().unwrap_or_default());
    asked.contains(&&b"NE"[..]) && asked.iter().all(|asked| matches!(*asked, b"NE" | b""))
}

/// What asks for no answer gets none, or a positive one where the listener answers all the same: then the message
/// after it is answered.
async fn answered_or_silent(wire: &mut Wire, path: &Path) {
    wire.raw(&framed(&fs::read(path).unwrap())).await;
    let mut ack = wire.exchange(&people::hour("AFTER", 1, "2026-03-02", 100)).await;
    if msa(&ack).1 != "AFTER" {
        assert!(CODES.contains(&msa(&ack).0), "{}: {ack:?}", path.display());
        ack = wire.answer().await.unwrap();
    }
    assert_eq!(msa(&ack).1, "AFTER", "{}: {ack:?}", path.display());
}

/// `isthmus send` of all files: a line for each message.
fn sent(to: &str, files: &[PathBuf], args: &[&str]) -> Vec<Value> {
    let mut command = Command::new(site::binary());
    command.args(["send", "--to", to, "--json", "--timeout", "20s"]).args(args).args(files);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().unwrap();
    assert_eq!((&summary["no_answer"], &summary["unread_files"]), (&0.into(), &0.into()), "{summary:#}");
    lines
}

/// The messages in the store, as received.
fn stored(rig: &standin::rig::Rig) -> Vec<Vec<u8>> {
    let key = Key::from_hex(fs::read_to_string(rig.dir().join("db.key")).unwrap().trim()).unwrap();
    let store = Store::open(&rig.dir().join("data"), key, StoreOptions::default(), 0).unwrap();
    let messages = store.readers().with(|reader| reader.messages_after(0, 10_000, usize::MAX / 2)).unwrap();
    let all = messages.iter().map(|message| message.body.to_vec()).collect();
    assert!(store.close());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_public_message_gets_a_defined_answer_and_keeps_its_segments() {
    let Some(folder) = folder() else { return };
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "hl7")).collect();
    let (silent, files): (Vec<PathBuf>, _) = files.into_iter().partition(|path| asks_for_silence(path));
    for args in [&["--as-is"][..], &[]] {
        let dir = tempfile::tempdir().unwrap();
        let mut rig = daemon(dir.path(), "").await;
        let to = rig.mllp().to_string();
        let (from, arguments) = (files.clone(), args.to_vec());
        let told = tokio::task::spawn_blocking(move || sent(&to, &from, &arguments)).await.unwrap();
        assert!(told.len() >= files.len(), "at least a message a file");

        let mut fates: BTreeMap<String, u32> = BTreeMap::new();
        for message in &told {
            let fate = match message["code"].as_str() {
                Some(code) => format!("{code} {}", message["text"].as_str().unwrap_or_default()),
                None => {
                    format!("{}: {}", message["outcome"].as_str().unwrap(), message["text"].as_str().unwrap())
                }
            };
            assert!(!fate.starts_with("no answer"), "{message:#}");
            let code_is_defined = CODES.iter().any(|code| fate.starts_with(code));
            assert!(code_is_defined || message["outcome"] == "not sent", "{message:#}");
            // A refusal says why.
            let accepted = ["AA", "CA"].contains(&fate.trim());
            assert!(accepted || fate.len() > 4, "{message:#}");
            *fates.entry(fate.trim().to_owned()).or_default() += 1;
        }
        // What our sender does not send, since no answer could be matched to it, others may send: straight to the wire.
        let mut wire = Wire::open(rig.mllp()).await;
        for message in told.iter().filter(|message| message["outcome"] == "not sent") {
            let file = message["file"].as_str().unwrap();
            let bytes = fs::read(folder.join(Path::new(file).file_name().unwrap())).unwrap();
            let answer = wire.exchange(&bytes).await;
            assert!(["AE", "AR"].contains(&msa(&answer).0), "{file}: {answer:?}");
        }
        for path in &silent {
            answered_or_silent(&mut wire, path).await;
        }
        let form = if args.is_empty() { "with CR" } else { "as they are" };
        println!("public messages {form}, and {} that ask for no answer:", silent.len());
        for (fate, count) in &fates {
            println!("{count:>6}  {fate}");
        }

        assert!(rig.stop().await.unwrap().success());
        let (stored, mut compared) = (stored(&rig), 0);
        let answered = told.iter().filter(|message| message["code"].is_string());
        for message in answered.filter(|message| message["code"] == "AA" || message["code"] == "CA") {
            let path = folder.join(Path::new(message["file"].as_str().unwrap()).file_name().unwrap());
            let file = fs::read(&path).unwrap();
            // A file with several messages is several there.
            if lines(&file).iter().filter(|line| line.starts_with(b"MSH")).count() == 1 {
                let with_cr = || lines(&file).iter().flat_map(|line| [line, &b"\r"[..]].concat()).collect();
                let expected: Vec<u8> = if args.is_empty() { with_cr() } else { file.clone() };
                assert!(stored.contains(&expected), "{}: not in the store as it was sent", path.display());
                compared += 1;
            }
        }
        println!("{compared:>6}  accepted, and in the store as sent");
    }
}

//! The plugin `collab`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Error;

use crate::client::Client;
use crate::gateway::{Gateway, Setup};

fn collab() -> Setup {
    Gateway::with("collab")
        .path("/docs/{doc}")
        .plugin("grants.store = [\"documents\"]")
}

/// A client that keeps a copy of a document, as the plugin's documentation says.
struct Editor {
    client: Client,
    you: u64,
    users: Value,
    version: u64,
    text: Vec<char>,
    /// Edits that came before one that is still missing.
    early: BTreeMap<u64, Value>,
}

impl Editor {
    async fn open(gateway: &Gateway, path: &str) -> Self {
        let mut editor = Self {
            client: gateway.connect(path).await,
            you: 0,
            users: Value::Null,
            version: 0,
            text: Vec::new(),
            early: BTreeMap::new(),
        };
        while editor.users.is_null() {
            editor.hear().await;
        }
        editor
    }

    /// Takes over a whole document.
    fn take(&mut self, document: &Value) {
        let version = document["version"].as_u64().unwrap();
        if version >= self.version {
            self.version = version;
            self.text = document["text"].as_str().unwrap().chars().collect();
        }
        self.catch_up();
    }

    /// Applies what has come early and is due now.
    fn catch_up(&mut self) {
        while let Some(edit) = self.early.remove(&(self.version + 1)) {
            self.apply(&edit);
        }
    }

    fn apply(&mut self, edit: &Value) {
        let number = |name: &str| edit[name].as_u64().unwrap_or_default() as usize;
        let (start, end) = (number("position"), number("position") + number("delete"));
        let insert = edit["insert"].as_str().unwrap_or_default();
        self.text.splice(start..end, insert.chars());
        self.version += 1;
    }

    /// Takes in the next message and returns it.
    async fn hear(&mut self) -> Value {
        let message = self.client.recv_json().await;
        let payload = &message["payload"];
        match message["type"].as_str().unwrap() {
            "init" => {
                self.you = payload["you"].as_u64().unwrap();
                self.users = payload["users"].clone();
                self.take(payload);
            }
            "sync" if payload.is_object() => self.take(payload),
            "edited" => {
                let version = payload["version"].as_u64().unwrap();
                if version > self.version {
                    self.early.insert(version, payload.clone());
                }
                self.catch_up();
            }
            _ => {}
        }
        message
    }

    /// The next event of that type: its payload.
    async fn hears(&mut self, kind: &str) -> Value {
        let message = self.hear().await;
        assert_eq!(message["type"], kind, "{message}");
        message["payload"].clone()
    }

    /// Sends a request and takes in what comes until its answer.
    async fn ask(&mut self, request: Value) -> Value {
        self.client.send(&request.to_string()).await;
        loop {
            let message = self.hear().await;
            if message["requestId"] == request["id"] {
                return message;
            }
        }
    }

    /// Edits the version it has; says whether that was the current one. If not, it has that afterwards.
    async fn edit(&mut self, position: usize, delete: usize, insert: &str) -> bool {
        let base = self.version;
        let edit = json!({"type": "edit", "id": "edit", "baseVersion": base,
                          "position": position, "delete": delete, "insert": insert});
        let answer = self.ask(edit.clone()).await;
        if answer["success"] == true {
            assert_eq!(answer["data"]["version"], base + 1);
            assert_eq!(
                self.version, base,
                "another one was taken for the same base"
            );
            self.apply(&edit);
            self.catch_up();
            return true;
        }
        assert_eq!(answer["error"]["code"], "conflict", "{answer}");
        while self.hear().await["type"] != "sync" {}
        assert!(self.version > base);
        false
    }

    fn text(&self) -> String {
        self.text.iter().collect()
    }

    async fn silent(&mut self) {
        self.client.silent().await;
    }
}

#[tokio::test]
async fn an_edit_reaches_everybody_who_has_the_document_open() {
    let gateway = collab().start().await;
    let mut ann = Editor::open(&gateway, "/docs/notes?name=ann").await;
    let mut bob = Editor::open(&gateway, "/docs/notes?name=bob").await;
    let mut other = Editor::open(&gateway, "/docs/other?name=cid").await;
    ann.hears("joined").await;
    assert!(ann.edit(0, 0, "grüße 👋").await);
    let edited =
        json!({"version": 1, "by": ann.you, "position": 0, "delete": 0, "insert": "grüße 👋"});
    assert_eq!(bob.hears("edited").await, edited);
    // Positions count characters, whatever their bytes.
    assert!(bob.edit(6, 1, "an alle").await);
    ann.hears("edited").await;
    assert!(ann.edit(0, 1, "G").await);
    bob.hears("edited").await;
    for editor in [&mut ann, &mut bob] {
        assert_eq!(editor.text(), "Grüße an alle");
        let answer = editor.ask(json!({"type": "sync", "id": 1})).await;
        assert_eq!(
            answer["data"],
            json!({"version": 3, "text": "Grüße an alle"})
        );
    }
    other.silent().await;
    assert_eq!((other.version, other.text()), (0, String::new()));
    // It stays when all have gone.
    ann.client.close(1000, "").await;
    bob.client.close(1000, "").await;
    let late = Editor::open(&gateway, "/docs/notes").await;
    assert_eq!((late.version, late.text().as_str()), (3, "Grüße an alle"));
}

#[tokio::test]
async fn an_edit_of_an_old_version_is_a_conflict_and_brings_the_document() {
    let gateway = collab().start().await;
    let mut ann = Editor::open(&gateway, "/docs/notes?name=ann").await;
    let mut bob = Editor::open(&gateway, "/docs/notes?name=bob").await;
    assert!(ann.edit(0, 0, "one").await);
    bob.hears("edited").await;
    for base in [0, 2] {
        let edit =
            json!({"type": "edit", "id": 7, "baseVersion": base, "position": 0, "insert": "x"});
        let answer = bob.ask(edit).await;
        assert_eq!(answer["error"]["code"], "conflict", "{answer}");
        assert_eq!(
            bob.hears("sync").await,
            json!({"version": 1, "text": "one"})
        );
    }
    assert!(bob.edit(3, 0, " two").await);
    // Of the conflicts the others hear nothing.
    assert_eq!(ann.hears("edited").await["version"], 2);
    assert_eq!(ann.text(), "one two");
}

#[tokio::test]
async fn people_see_who_is_there_and_where() {
    let gateway = collab().start().await;
    let mut ann = Editor::open(&gateway, "/docs/notes?name=ann").await;
    assert_eq!(ann.users[0]["name"], "ann");
    let mut bob = Editor::open(&gateway, "/docs/notes?name=bob").await;
    let joined = ann.hears("joined").await;
    assert_eq!(
        (&joined["id"], &joined["name"]),
        (&json!(bob.you), &json!("bob"))
    );
    let users = bob.users.as_array().unwrap();
    assert_eq!(users.len(), 2);
    assert!(
        users.contains(&joined) && users.contains(&ann.users[0]),
        "{users:?}"
    );
    for user in users {
        let colour = user["colour"].as_str().unwrap();
        assert!(colour.len() == 7 && colour.starts_with('#'), "{user}");
    }
    bob.client
        .send(r#"{"type": "cursor", "position": 3}"#)
        .await;
    assert_eq!(
        ann.hears("cursor").await,
        json!({"user": bob.you, "position": 3})
    );
    assert_eq!(gateway.reload().await.status, 200);
    ann.client
        .send(r#"{"type": "cursor", "id": 1, "position": 0}"#)
        .await;
    assert_eq!(
        bob.hears("cursor").await,
        json!({"user": ann.you, "position": 0})
    );
    ann.silent().await;
    drop(bob);
    assert_eq!(ann.hears("left").await, joined);
}

#[tokio::test]
async fn what_is_wrong_is_named_and_changes_nothing() {
    let gateway = collab().start().await;
    let mut ann = Editor::open(&gateway, "/docs/notes?name=ann").await;
    assert!(ann.edit(0, 0, "text").await);
    let long = "x".repeat(10_001);
    let far = u32::MAX;
    for (edit, field) in [
        (json!({"position": 5}), "position"),
        (json!({"position": far, "delete": far}), "position"),
        (json!({"position": 3, "delete": 2}), "delete"),
        (json!({"position": 0, "delete": far}), "delete"),
        (json!({"position": -1}), "position"),
        (json!({"position": 0, "insert": 7}), "insert"),
        (json!({"position": 0, "insert": long}), "insert"),
        // Longer than one edit may be is none of these, but all together are.
        (json!({"position": 0, "insert": long[..9_997]}), "insert"),
        (json!({"position": 0, "baseVersion": null}), "baseVersion"),
        (json!({"insert": "no position"}), "position"),
    ] {
        let mut request = json!({"type": "edit", "id": 1, "baseVersion": 1});
        for (name, value) in edit.as_object().unwrap() {
            request[name] = value.clone();
        }
        let answer = ann.ask(request).await;
        assert_eq!(answer["error"]["code"], "invalid-message", "{answer}");
        assert_eq!(answer["error"]["details"]["field"], field, "{answer}");
    }
    let answer = ann
        .ask(json!({"type": "cursor", "id": 1, "position": 10_001}))
        .await;
    assert_eq!(answer["error"]["details"]["field"], "position", "{answer}");
    // The longest document, of characters that JSON takes six bytes for, can still be kept.
    assert!(ann.edit(0, 4, &"\u{1}".repeat(10_000)).await);
    let late = Editor::open(&gateway, "/docs/notes").await;
    assert_eq!((late.version, late.text()), (2, "\u{1}".repeat(10_000)));
}

#[tokio::test]
async fn a_bad_name_is_refused_with_words() {
    let gateway = collab().start().await;
    let long = "x".repeat(33);
    for path in [
        "/docs/notes?name=",
        &format!("/docs/notes?name={long}"),
        &format!("/docs/{long}"),
    ] {
        let refused = Client::try_connect(gateway.address, path, &[]).await;
        let Err(Error::Http(response)) = refused else {
            panic!("{path}: not refused");
        };
        assert_eq!(response.status(), 400, "{path}");
        let body = response.body().clone().unwrap_or_default();
        assert!(
            String::from_utf8(body)
                .unwrap()
                .contains("1 to 32 characters")
        );
    }
}

/// Several write at the same time on two cores, while the plugin is reloaded.
#[tokio::test]
async fn editors_never_diverge() {
    const EDITORS: u64 = 4;
    const EACH: u64 = 25;
    let gateway = collab().server("shards = 2").start().await;
    let mut observer = Editor::open(&gateway, "/docs/notes").await;
    let mut editors = JoinSet::new();
    for seed in 0..EDITORS {
        let mut editor = Editor::open(&gateway, "/docs/notes").await;
        editors.spawn(async move {
            let mut grown = 0;
            for turn in 0..EACH {
                let insert = format!("[{seed}.{turn}]");
                loop {
                    // Anywhere, and often enough in the same place as others.
                    let position = (turn * 7 + seed) as usize % (editor.text.len() + 1);
                    let delete = (editor.text.len() - position).min(turn as usize % 4);
                    if editor.edit(position, delete, &insert).await {
                        grown += insert.len() - delete;
                        break;
                    }
                }
            }
            while editor.version < EDITORS * EACH {
                editor.hear().await;
            }
            (grown, editor)
        });
    }
    for generation in 2..5 {
        while observer.version < EDITORS * EACH * (generation - 1) / 4 {
            observer.hear().await;
        }
        assert_eq!(gateway.reload().await.json()["generation"], generation);
    }
    while observer.version < EDITORS * EACH {
        observer.hear().await;
    }
    let kept = observer.ask(json!({"type": "sync", "id": 1})).await;
    let kept = kept["data"]["text"].as_str().unwrap().to_owned();
    assert_eq!(observer.text(), kept);
    let mut length = 0;
    while let Some(editor) = editors.join_next().await {
        let (grown, editor) = editor.unwrap();
        assert_eq!(editor.text(), kept);
        length += grown;
    }
    assert_eq!(kept.len(), length);
}

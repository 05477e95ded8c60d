//! What is said of a wrong file.

use super::*;

/// Cases written as a line of TOML, in which `\n` is a new line, and a line of what is said of it.
fn cases(table: &str) -> Vec<(String, String)> {
    let lines: Vec<_> = table.trim().lines().map(str::trim).collect();
    lines
        .chunks(2)
        .map(|case| {
            let expected = format!("tidegate.toml:{}", case[1]);
            (case[0].replace("\\n", "\n"), expected)
        })
        .collect()
}

#[test]
fn a_wrong_value_is_shown_with_what_to_write() {
    let table = r##"
        server.connections = "many"
            1:22: "connections" in [server] is "many": write a whole number from 1 to 10000000
        server.shards = 65
            1:17: "shards" in [server] is 65: write a whole number from 1 to 64
        server.queue = 0
            1:16: "queue" in [server] is 0: write a size from "1B" to "1GiB"
        server.listen = ":8080"
            1:17: "listen" in [server] is ":8080": write an IP address and a port, like "127.0.0.1:8080"
        admin.listen = 9090
            1:16: "listen" in [admin] is 9090: write an IP address and a port, like "127.0.0.1:9090", or "off"
        server.handshake_timeout = "0s"
            1:28: "handshake_timeout" in [server] is "0s": write a duration above zero and up to 365 days, like "500ms" or "2m"
        server.drain_window = 5
            1:23: "drain_window" in [server] is 5: write a duration up to 365 days, like "500ms" or "2m", or "0s"
        server.drain_window = "1000years"
            1:23: "drain_window" in [server] is "1000years": write a duration up to 365 days, like "500ms" or "2m", or "0s"
        server.headers = "1KiB"
            1:18: "headers" in [server] is "1KiB": write a size from "8KiB" to "1MiB"
        server.headers = "16 KB of it"
            1:18: "headers" in [server] is "16 KB of it": write a size from "8KiB" to "1MiB"
        server = 8080
            1:10: "server" is 8080: write a table
        [server.listen]
            1:1: "listen" in [server] is a table: write an IP address and a port, like "127.0.0.1:8080"
        log.level = 3
            1:13: "level" in [log] is 3: write a string in quotes
        log.format = "jsn"
            1:14: "format" in [log] is "jsn": did you mean "json"?
        log.format = "yaml"
            1:14: "format" in [log] is "yaml": use one of "text", "json"
        log.format = 3
            1:14: "format" in [log]: write a string in quotes
        engine.cache = true
            1:16: "cache" in [engine] is true: write a directory, or "off"
        engine.instances = 1_000_000
            1:20: "instances" in [engine] is 1000000: write a whole number from 1 to 10000
    "##;
    for (text, expected) in cases(table) {
        assert_eq!(error(&text), expected);
    }
}

#[test]
fn a_plugins_values_are_checked() {
    let table = r##"
        [[plugin]]\nname = "Chat!"\npath = "a.wasm"
            2:8: "name" in [[plugin]] is "Chat!": write 1 to 64 of the characters a-z, 0-9 and -
        [[plugin]]\npath = "a.wasm"
            1:1: plugin without a name: add one, like name = "chat"
        [[plugin]]\nname = "auth"
            1:1: plugin "auth" has no path: add one, like path = "auth.wasm"
        [[plugin]]\nname = "auth"\npath = ""
            3:8: "path" in [[plugin]] is "": write the path of a component, like "chat.wasm"
        [[plugin]]\nname = "auth"\npath = "a.wasm"\nwatch = "no"
            4:9: "watch" in [[plugin]] is "no": write true or false
        [[plugin]]\nname = "auth"\npath = "a.wasm"\nlimits.memory = "8GiB"
            4:17: "memory" in [plugin.limits] is "8GiB": write a size from "64KiB" to "4GiB"
        [[plugin]]\nname = "auth"\npath = "a.wasm"\ngrants.store = ["my rooms"]
            4:16: plugin "auth" has bucket "my rooms" in grants.store: write 1 to 64 of the characters a-z, 0-9 and -
        [[plugin]]\nname = "auth"\npath = "a.wasm"\ngrants.watch = ["rooms"]
            4:16: plugin "auth" has bucket "rooms" in grants.watch, but not in grants.store: add it there
        [[plugin]]\nname = "auth"\npath = "a.wasm"\ngrants.stor = ["rooms"]
            4:8: unknown key "stor" in [plugin.grants]: did you mean "store"?
        [[plugin]]\nname = "auth"\npath = "a.wasm"\ngrants.http = ["api.example.com"]
            4:16: "http" in [plugin.grants] is "api.example.com": write an origin like "https://api.example.com" or "http://10.0.0.1:8080", without a path
        [[plugin]]\nname = "auth"\npath = "a.wasm"\ngrants.http = ["https://api.example.com/v1"]
            4:16: "http" in [plugin.grants] is "https://api.example.com/v1": write an origin like "https://api.example.com" or "http://10.0.0.1:8080", without a path
        [[plugin]]\nname = "auth"\npath = "a.wasm"\nconfig.users = ["ann"]
            4:16: "users" in [plugin.config] is a list: write a string in quotes, a number, or true or false
        [[plugin]]\nname = "auth"\npath = "a.wasm"\nconfig.limits = { day = 5 }
            4:8: "limits" in [plugin.config] is a table: write a string in quotes, a number, or true or false
        [[plugin]]\nname = "auth"\npath = "a.wasm"\nconfig.since = 2026-11-21
            4:16: "since" in [plugin.config] is a table: write a string in quotes, a number, or true or false
        [[plugin]]\nname = "auth"\npath = "a.wasm"\nconfig = "users.toml"
            4:10: "config" in [[plugin]] is "users.toml": write a table
        [[plugin]]\nname = "auth"\npath = "a.wasm"\ngrants.state = ["chat"]
            4:16: plugin "auth" is granted the state of "chat", which is in no chain with it: remove it, or name both in `plugins` of a route
        [[plugin]]\nname = "auth"\npath = "a.wasm"\ngrants.state = ["chta"]
            4:16: plugin "auth" is granted the state of "chta", which is no plugin: remove it, or name both in `plugins` of a route
    "##;
    for (text, expected) in cases(table) {
        assert_eq!(error(&text), expected);
    }
}

#[test]
fn a_stores_values_are_checked() {
    let table = r##"
        store.path = ""
            1:14: "path" in [store] is "": write the path of a file, like "data.redb"
        store.size = 0
            1:14: "size" in [store] is 0: write a size from "1B" to "1TiB"
        [[bucket]]\nttl = "1h"
            1:1: bucket without a name: add one, like name = "rooms"
        [[bucket]]\nname = "my_rooms"
            2:8: "name" in [[bucket]] is "my_rooms": write 1 to 64 of the characters a-z, 0-9 and -
        [[bucket]]\nname = "rooms"
            2:8: no plugin may use bucket "rooms": add grants.store = ["rooms"] to one
        [[plugin]]\nname = "a"\npath = "a.wasm"\ngrants.store = ["room"]\n[[bucket]]\nname = "rooms"
            6:8: no plugin may use bucket "rooms"; of those in grants.store, did you mean "room"?
        [[plugin]]\nname = "a"\npath = "a.wasm"\ngrants.store = ["rooms"]\n[[bucket]]\nname = "rooms"\n[[bucket]]\nname = "rooms"
            8:8: a second bucket is named "rooms": give it another name
        [[plugin]]\nname = "a"\npath = "a.wasm"\ngrants.store = ["rooms"]\n[[bucket]]\nname = "rooms"\nttl = "0s"
            7:7: "ttl" in [[bucket]] is "0s": write a duration above zero and up to 365 days, like "500ms" or "2m"
        [[plugin]]\nname = "a"\npath = "a.wasm"\ngrants.store = ["rooms"]\n[[bucket]]\nname = "rooms"\nkeys = 0
            7:8: "keys" in [[bucket]] is 0: write a whole number from 1 to 1000000000
    "##;
    for (text, expected) in cases(table) {
        assert_eq!(error(&text), expected);
    }
}

#[test]
fn shared_topics_are_declared_once_and_granted() {
    let table = r##"
        [[topic]]\nname = ""
            2:8: "name" in [[topic]] is "": write a topic like "news", or "news:*" for all that begin so, of 1 to 255 bytes
        [[topic]]\nname = "*:news"
            2:8: "name" in [[topic]] is "*:news": write a topic like "news", or "news:*" for all that begin so, of 1 to 255 bytes
        [[topic]]
            1:1: topic without a name: add one, like name = "news:*"
        [[topic]]\nname = "news"
            2:8: no plugin may use topic "news": add grants.topics = { publish = ["news"], subscribe = ["news"] } to those that share it
        [[plugin]]\nname = "a"\npath = "a.wasm"\ngrants.topics.publish = ["news:*"]\n[[topic]]\nname = "news:*"\n[[topic]]\nname = "news:a"
            8:8: topic "news:a" overlaps with topic "news:*": write one of them only, or names that have nothing in common
        [[plugin]]\nname = "a"\npath = "a.wasm"\ngrants.topics.publish = ["news"]
            4:25: plugin "a" has topic "news" in grants.topics.publish, which no [[topic]] shares: add [[topic]] with name = "news", or remove it: its own topics need no grant
        [[plugin]]\nname = "a"\npath = "a.wasm"\ngrants.topics = { publish = ["news:*"], subscribe = ["news"] }\n[[topic]]\nname = "news:*"
            4:53: plugin "a" has topic "news" in grants.topics.subscribe, which no [[topic]] shares: did you mean "news:*"?
    "##;
    for (text, expected) in cases(table) {
        assert_eq!(error(&text), expected);
    }
}

#[test]
fn a_granted_state_is_of_a_plugin_in_the_same_chain() {
    let said = |name: &str| {
        let auth =
            format!("[[plugin]]\nname = \"auth\"\npath = \"a.wasm\"\ngrants.state = [{name:?}]\n");
        let text = format!("{auth}{GOOD}").replace("plugins = [", "plugins = [\"auth\", ");
        let errors = parse_with(&text, &[]).err();
        errors.map_or_else(String::new, |errors| errors.to_string())
    };
    let error = r#"tidegate.toml:4:16: plugin "auth" is granted the state of "chta", which is no plugin: did you mean "chat"?"#;
    assert!(said("chta").contains(error), "{}", said("chta"));
    assert!(!said("chat").contains("granted"), "{}", said("chat"));
}

#[test]
fn a_routes_values_are_checked() {
    let table = r##"
        origins = "none"
            9:11: "origins" in [[route]] is "none": write "same", "any" or a list like ["https://example.com"]
        origins = []
            9:11: "origins" in [[route]] is an empty list: write "same", "any" or a list like ["https://example.com"]
        origins = ["https://a.example", "https://b.example/"]
            9:33: "origins" in [[route]] is "https://b.example/": write scheme://host or scheme://host:port, without a path
        on_failure = "ignore"
            9:14: "on_failure" in [[route]] is "ignore": use one of "close", "keep"
        limits.slow_consumer = "drop"
            9:24: "slow_consumer" in [route.limits] is "drop": use one of "close", "drop-newest", "drop-oldest"
        limits.idle = "20s"
            9:15: route "/rooms/{room}" has ping = 30s, not shorter than idle = 20s: lower it, or turn pings off with ping = "0s"
        limits.pong = "3m"
            9:15: route "/rooms/{room}" has pong = 180s, not shorter than idle = 120s: lower it, or turn pings off with ping = "0s"
        [[route]]\nplugins = ["chat"]
            9:1: route without a path: add one, like path = "/rooms/{room}"
        [[route]]\npath = "rooms"\nplugins = ["chat"]
            10:8: "path" in [[route]] is "rooms": write a path that begins with "/", like "/rooms/{room}"
        [[route]]\npath = "/rooms/{id}"\nplugins = ["chat"]
            10:8: route "/rooms/{id}" takes the same requests as route "/rooms/{room}": change one of them
        [[route]]\npath = "/{a}{b}"\nplugins = ["chat"]
            10:8: route "/{a}{b}" has two parameters in one segment: put a "/" between them
        [[route]]\npath = "/{*a}/b"\nplugins = ["chat"]
            10:8: route "/{*a}/b" goes on after a parameter with "*": put that at its end
        [[route]]\npath = "/a{b"\nplugins = ["chat"]
            10:8: route "/a{b" has an unfinished parameter: write {name}, or {{ and }} for plain braces
        [[route]]\npath = "/a"
            9:1: route "/a" names no plugin: add one, like plugins = ["chat"]
        [[route]]\npath = "/a"\nplugins = "chat"
            11:11: "plugins" in [[route]] is "chat": write a list, like ["chat"]
        [[route]]\npath = "/a"\nplugins = ["chat", "chat"]
            11:11: route "/a" names plugin "chat" twice: name it once
        [[route]]\npath = "/a"\nplugins = ["chta"]
            11:11: route "/a" names an unknown plugin "chta": did you mean "chat"?
    "##;
    for (text, expected) in cases(table) {
        assert_eq!(route_error(&text), expected);
    }
}

#[test]
fn names_and_paths_are_taken_once() {
    let twice = errors(&format!("{GOOD}{GOOD}"));
    assert_eq!(
        twice,
        [
            r#"tidegate.toml:11:8: a second plugin is named "chat": give it another name"#,
            r#"tidegate.toml:15:8: route "/rooms/{room}" takes the same requests as route "/rooms/{room}": change one of them"#,
        ]
    );
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    assert_eq!(
        error("\n[server]\nlisen = \"127.0.0.1:1\""),
        r#"tidegate.toml:3:1: unknown key "lisen" in [server]: did you mean "listen"?"#
    );
    assert_eq!(
        error("[sever]\nlisten = \"127.0.0.1:1\""),
        r#"tidegate.toml:1:2: unknown key "sever": did you mean "server"?"#
    );
    assert_eq!(
        error("[log]\ncolour = true"),
        r#"tidegate.toml:2:1: unknown key "colour" in [log]: use one of "level", "format", "queue", "rate""#
    );
    assert_eq!(
        route_error("[route.limits]\nmesage = 1"),
        r#"tidegate.toml:10:1: unknown key "mesage" in [route.limits]: did you mean "message"?"#
    );
    assert_eq!(
        route_error("limits = { mesage = 1 }"),
        r#"tidegate.toml:9:12: unknown key "mesage" in [route.limits]: did you mean "message"?"#
    );
    assert_eq!(
        route_error("on_eror = \"keep\""),
        r#"tidegate.toml:9:1: unknown key "on_eror" in [[route]]: did you mean "on_error"?"#
    );
}

#[test]
fn values_that_do_not_fit_each_other_are_refused() {
    assert_eq!(
        error("admin.listen = \"0.0.0.0:9090\""),
        r#"tidegate.toml:1:16: "listen" in [admin] is 0.0.0.0:9090, which others can reach: set "token", or listen on 127.0.0.1"#
    );
    assert_eq!(
        error("server.listen = \"127.0.0.1:9090\""),
        "tidegate.toml:1:17: [admin] and [server] both listen on 127.0.0.1:9090: give [admin] a port of its own"
    );
    assert_eq!(
        error("server.shards = 4\nengine.instances = 3"),
        r#"tidegate.toml:2:20: "instances" in [engine] is 3, but each of 4 "shards" in [server] keeps one of each plugin, of which there are 1: write at least 4"#
    );
    config("server.shards = 4\nengine.instances = 4");
    assert_eq!(
        error("server.drain_window = \"1m\""),
        r#"tidegate.toml:1:23: "drain_window" in [server] is 60s, longer than "drain_deadline" (30s): lower it"#
    );
}

#[test]
fn a_route_where_the_browser_client_is_needs_it_off() {
    let text = GOOD.replace("/rooms/{room}", "/tidegate.js");
    let expected = r#"tidegate.toml:7:8: route "/tidegate.js" is where the browser client is: choose another path, or write client = false in [server]"#;
    assert_eq!(errors(&text), [expected]);
    let off = format!("server.client = false\n{text}");
    assert!(!parse_with(&off, &[]).unwrap().server.client);
    assert!(config("").server.client);
}

#[test]
fn a_file_without_plugins_and_routes_says_what_to_add() {
    let expected = [
        "tidegate.toml: no plugin: add [[plugin]] with a name and a path",
        "tidegate.toml: no route: add [[route]] with a path and plugins",
    ];
    assert_eq!(errors(""), expected);
    assert_eq!(
        errors("plugin = []\nroute = []"),
        [
            "tidegate.toml:1:10: no plugin: add [[plugin]] with a name and a path",
            "tidegate.toml:2:9: no route: add [[route]] with a path and plugins",
        ]
    );
}

#[test]
fn single_brackets_are_recognized() {
    let text = GOOD.replace("[[plugin]]", "[plugin]");
    assert_eq!(
        errors(&text),
        [r#"tidegate.toml:2:1: "plugin" is a single table: write [[plugin]]"#]
    );
}

#[test]
fn all_errors_are_told_at_once_in_the_order_of_the_file() {
    let text = r#"
[[route]]
path = "/a"
plugins = ["chat"]
limits = { idle = "forever", ping = "1s", outbox = -1 }

[[plugin]]
name = "chat"
pth = "chat.wasm"

[server]
lisen = 3
connections = 0

[[route]]
path = "/b"
plugins = ["chart"]
on_error = "shrug"
"#;
    assert_eq!(
        errors(text),
        [
            r#"tidegate.toml:5:19: "idle" in [route.limits] is "forever": write a duration above zero and up to 365 days, like "500ms" or "2m""#,
            r#"tidegate.toml:5:52: "outbox" in [route.limits] is -1: write a size from "1B" to "1GiB""#,
            r#"tidegate.toml:7:1: plugin "chat" has no path: add one, like path = "chat.wasm""#,
            r#"tidegate.toml:9:1: unknown key "pth" in [[plugin]]: did you mean "path"?"#,
            r#"tidegate.toml:12:1: unknown key "lisen" in [server]: did you mean "listen"?"#,
            r#"tidegate.toml:13:15: "connections" in [server] is 0: write a whole number from 1 to 10000000"#,
            r#"tidegate.toml:17:11: route "/b" names an unknown plugin "chart": did you mean "chat"?"#,
            r#"tidegate.toml:18:12: "on_error" in [[route]] is "shrug": use one of "keep", "close""#,
        ]
    );
}

#[test]
fn an_error_hides_those_that_only_follow_from_it() {
    // The name is wrong, so nobody can tell whether the route means it; the idle limit is, so pings
    // are not compared.
    let text = GOOD.replace("name = \"chat\"", "name = \"Chat\"");
    assert_eq!(errors(&text).len(), 1);
    assert_eq!(
        errors(&format!(
            "{GOOD}limits = {{ idle = \"5 min!\", ping = \"4m\" }}"
        ))
        .len(),
        1
    );
}

#[test]
fn a_syntax_error_is_told_alone() {
    let errors = errors("[server\nlisten = 3\n[log]\nlevl = 1");
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("tidegate.toml:1:8: "), "{errors:?}");
    assert!(error("log.level = 'a'\nlog.level = 'b'").contains(":2:5: not toml: duplicate key"));
}

#[test]
fn columns_count_characters() {
    let error = error("admin = { token = \"é\", listen = 9 }");
    assert!(error.starts_with("tidegate.toml:1:33: "), "{error}");
}

#[test]
fn a_hopeless_file_ends() {
    let text: String = (0..1000).map(|n| format!("key{n} = 1\n")).collect();
    assert_eq!(errors(&text).len(), 100);
}

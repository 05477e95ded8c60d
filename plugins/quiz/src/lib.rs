//! A quiz in rooms: connect to `/quiz/tea?name=ann`. The first to come is the host and asks with `start`, the others
//! `answer`, until the countdown ends or all of them have. When the host leaves, the next in line is host. Names are
//! players: scores stay with them over rounds and absences, and two connections of one name are one player.

use std::collections::BTreeMap;
use std::time::Duration;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::store::{self, Bucket};
use tidegate_sdk::{Accept, Call, CloseCause, Connection, Fault, Handler, Message, Reject};
use tidegate_sdk::{Request, Result, Router, Routes, State, Timer, clear_timer, config};
use tidegate_sdk::{members, publish_event, valid};

struct Quiz;

/// What the host sends.
#[derive(Deserialize, JsonSchema, Validate)]
struct Start {
    #[garde(length(chars, min = 1, max = 300))]
    question: String,
    #[garde(length(min = 2, max = 6), inner(length(chars, min = 1, max = 100)))]
    answers: Vec<String>,
    /// Which answer is right, from 0.
    #[garde(skip)]
    correct: usize,
    #[garde(range(min = 5, max = 60))]
    seconds: u32,
}

/// What the others send.
#[derive(Deserialize, JsonSchema)]
struct Answer {
    /// Which answer, from 0.
    choice: usize,
}

/// What all hear when a round begins, and who enters while it runs.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Question {
    question: String,
    answers: Vec<String>,
    /// Seconds.
    left: u32,
}

/// What all hear each second of a round.
#[derive(Serialize, JsonSchema)]
struct Tick {
    left: u32,
}

/// What all hear at its end.
#[derive(Serialize, JsonSchema)]
struct Outcome {
    correct: usize,
    /// Right answers so far, by name.
    scores: BTreeMap<String, u32>,
}

/// What a connection remembers.
#[derive(Default, Serialize, Deserialize)]
struct Seat {
    /// Such as `quiz/tea`: what the room's topic, its timer and its entry in the store are called.
    room: String,
    name: String,
}

/// What the store keeps of a room.
#[derive(Default, Serialize, Deserialize)]
struct Room {
    /// Who is there, in the order in which they came: the host first.
    players: Vec<String>,
    scores: BTreeMap<String, u32>,
    round: Option<Round>,
}

#[derive(Serialize, Deserialize)]
struct Round {
    question: Question,
    correct: usize,
    asked_by: String,
    /// Who has answered what.
    choices: BTreeMap<String, usize>,
}

impl Handler for Quiz {
    fn on_load() -> Result {
        rooms()?;
        second().map(drop)
    }

    fn on_upgrade(request: Request) -> Result<Accept, Reject> {
        let room = request.param("room").unwrap_or_default();
        let name = request.query("name").unwrap_or_default();
        let fits = |word: &str| (1..=32).contains(&word.chars().count());
        if !fits(room) || !fits(&name) {
            let fix = "room and name take 1 to 32 characters: /quiz/tea?name=ann\n";
            return Err(Reject::new(400, fix));
        }
        let room = format!("quiz/{room}");
        Ok(Accept::default().state_json(&Seat { room, name })?)
    }

    /// The rest is for a timer, when the connection hears what is published and others see it: so it misses no question.
    fn on_open(connection: &Connection, _request: Request) -> Result {
        let seat = State::<Seat>::of(connection)?;
        connection.subscribe_as(&seat.room, &seat.name)?;
        Ok(Timer::after("entered", Duration::ZERO).on(connection)?)
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        Quiz::route(connection, &message)
    }

    fn on_timer(connection: Option<&Connection>, name: &str) -> Result {
        let Some(connection) = connection else {
            return tick(name);
        };
        let room = &State::<Seat>::of(connection)?.room;
        if let Some(question) = gather(room)? {
            connection.send_event("question", &question)?;
            // It runs already, unless the gateway was started anew with a store on disk.
            Timer::every(room, second()?).keep().of_plugin()?;
        }
        Ok(())
    }

    fn on_close(connection: &Connection, _cause: CloseCause) -> Result {
        gather(&State::<Seat>::of(connection)?.room).map(drop)
    }
}

impl Routes for Quiz {
    fn routes(router: &mut impl Router) {
        router.on("start", valid(start)).on("answer", answer);
        router.sends::<Vec<String>>("players");
        router.sends::<Question>("question").sends::<Tick>("tick");
        router.sends::<Outcome>("result");
    }
}

fn start(call: &Call, start: Start) -> Result<(), Fault> {
    let Seat { room, name } = State::<Seat>::of(call)?.into_inner();
    let last = start.answers.len() - 1;
    if start.correct > last {
        return Err(Fault::field("correct", format!("at most {last}")));
    }
    let question = Question {
        question: start.question,
        answers: start.answers,
        left: start.seconds,
    };
    Timer::every(&room, second()?).of_plugin()?;
    publish_event(&room, "question", &question)?;
    // The store comes last: what is written there stays, whatever fails behind it.
    rooms()?.entry::<Room>(&room).try_change(|room| {
        if room.players.first() != Some(&name) {
            return Err(Fault::new("not-host", "only the host asks"));
        }
        if room.round.is_some() {
            return Err(Fault::new("round-running", "one question at a time"));
        }
        room.round = Some(Round {
            question: question.clone(),
            correct: start.correct,
            asked_by: name.clone(),
            choices: BTreeMap::new(),
        });
        Ok(())
    })
}

fn answer(call: &Call, Answer { choice }: Answer) -> Result<(), Fault> {
    let Seat { room, name } = State::<Seat>::of(call)?.into_inner();
    let outcome = rooms()?.entry::<Room>(&room).try_change(|room| {
        let Some(round) = &mut room.round else {
            return Err(Fault::new("no-round", "wait for a question"));
        };
        let last = round.question.answers.len() - 1;
        if choice > last {
            return Err(Fault::field("choice", format!("at most {last}")));
        }
        if round.asked_by == name {
            return Err(Fault::new("asked", "who asks does not answer"));
        }
        if round.choices.insert(name.clone(), choice).is_some() {
            return Err(Fault::new("answered-already", "one answer a round"));
        }
        Ok(room.end_if_all_answered())
    })?;
    Ok(tell(&room, outcome)?)
}

/// Notes and tells who is in a room by now; returns the question that is open there.
fn gather(name: &str) -> Result<Option<Question>> {
    let (players, question, outcome) = rooms()?.entry::<Room>(name).change(|room| {
        let members = members(name).into_iter();
        let there: Vec<_> = members.map(|member| member.label).collect();
        room.players.retain(|player| there.contains(player));
        for player in there {
            if !room.players.contains(&player) {
                room.players.push(player);
            }
        }
        let outcome = room.end_if_all_answered();
        let question = room.round.as_ref().map(|round| round.question.clone());
        (room.players.clone(), question, outcome)
    })?;
    publish_event(name, "players", &players)?;
    tell(name, outcome)?;
    Ok(question)
}

fn tick(name: &str) -> Result {
    let (left, outcome) = rooms()?.entry::<Room>(name).change(|room| {
        let Some(round) = &mut room.round else {
            return (0, None);
        };
        round.question.left -= 1;
        match round.question.left {
            0 => (0, room.end()),
            left => (left, None),
        }
    })?;
    if left > 0 {
        return publish_event(name, "tick", &Tick { left });
    }
    clear_timer(name)?;
    tell(name, outcome)
}

/// Tells all what came of the round, if it has ended.
fn tell(room: &str, outcome: Option<Outcome>) -> Result {
    let Some(outcome) = outcome else {
        return Ok(());
    };
    clear_timer(room)?;
    publish_event(room, "result", &outcome)
}

impl Room {
    fn end_if_all_answered(&mut self) -> Option<Outcome> {
        let round = self.round.as_ref()?;
        let has_answered =
            |name: &String| round.asked_by == *name || round.choices.contains_key(name);
        let is_over = !round.choices.is_empty() && self.players.iter().all(has_answered);
        is_over.then(|| self.end())?
    }

    fn end(&mut self) -> Option<Outcome> {
        let round = self.round.take()?;
        for (name, choice) in round.choices {
            *self.scores.entry(name).or_default() += u32::from(choice == round.correct);
        }
        Some(Outcome {
            correct: round.correct,
            scores: self.scores.clone(),
        })
    }
}

fn rooms() -> store::Result<Bucket> {
    store::bucket("quiz")
}

/// How long a second of the countdown is: less in tests.
fn second() -> Result<Duration> {
    Ok(config::parse("tick_ms")?.map_or(Duration::from_secs(1), Duration::from_millis))
}

tidegate_sdk::export!(Quiz: describe);

// The messages of a plugin, printed by `tidegate types`. Print them again rather than change them.

/** Something to draw. */
export type Drawing =
  /** A rectangle as wide as high. */
  | { shape: "square"; side: number }
  | { points: [number, number][]; shape: "line" }
  | Group & { shape: "group" }
  | { shape: "nothing" };

export interface Group {
  parts: Drawing[];
}

/**
 * What a client sends to enter a room.
 *
 * A room is there as soon as somebody is in it.
 */
export interface Join {
  /** @default [] */
  labels?: string[];
  /** 1 to 8 characters. */
  room: string;
  seatNumber?: number | null;
  user: Person;
}

/** What whoever enters gets back, and the others hear. */
export interface Joined {
  at: [number, number | null];
  room: string;
  /** How many are in each room. */
  rooms: { [key: string]: number };
  user: PersonReceived;
}

export interface Person {
  name: string;
  /** @default "online" */
  status?: Status;
}

export interface PersonReceived {
  name: string;
  status: Status;
}

/** How somebody is. */
export type Status = "online" | "away";

/** The messages by their `type`: what clients send, with the `data` of the answer, and what they hear of. */
export interface Messages {
  requests: {
    "ask": { payload: string; reply: number };
    "break": { payload: string; reply: number };
    "close": { payload: null; reply: null };
    "count": { payload: string; reply: number };
    "draw": { payload: Drawing; reply: Drawing | null };
    "join": { payload: Join; reply: Joined };
    "order": { payload: number; reply: number };
    "say": { payload: string; reply: null };
    "settle": { payload: number | null; reply: never };
    "sign-in": { payload: string[]; reply: null };
    "spoil": { payload: null; reply: null };
    "visit": { payload: null; reply: number };
    "wave": { payload: null; reply: never };
    "who": { payload: null; reply: string };
  };
  events: {
    "joined": Joined;
    "said": string;
  };
}

/** What one HTTP request may ask for: bounds on the work a small body can cause, each with its reason. Knows no schema. */

/** Levels of arrays and objects in a body: schemas of tools nest a dozen deep, and whatever walks a value may recurse. */
export const MAX_JSON_DEPTH = 128;
/** Prompts in one completions request, as OpenAI's. */
export const MAX_PROMPTS = 2048;
/** Outputs of one prompt, as OpenAI's. */
export const MAX_CHOICES = 128;
/** Sequences of one request: prompts times choices. */
export const MAX_SEQUENCES = 4096;
/** A template is a program that loops over them. */
export const MAX_MESSAGES = 4096;
export const MAX_TOOLS = 256;
/** Each stop string has its own automaton, which sees every character of the output. */
export const MAX_STOPS = 64;
export const MAX_STOP_LENGTH = 1024;
export const MAX_BAD_WORDS = 1024;
/** Characters of a name: of a model, a function, a user. */
export const MAX_NAME_LENGTH = 256;
/** Characters of a path or URL. */
export const MAX_PATH_LENGTH = 4096;
/** Of JSON schemas, grammars and regular expressions, as text. */
export const MAX_GRAMMAR_LENGTH = 256 * 1024;
/** Output waiting for a client that does not read. Beyond this the request is cut. */
export const MAX_UNREAD_BYTES = 8 * 1024 * 1024;
/** A stream's headers wait this long for the first token, so that a request refused at its first step gets a status. */
export const HEADERS_WAIT_MS = 250;
/** Who watches the engine costs it time with every step. */
export const MAX_INSPECTORS = 16;
/** Engine events are sent together, so often. */
export const FEED_BATCH_MS = 50;
/** Or so many, where they come faster. */
export const MAX_FEED_BATCH = 512;
/** Events waiting for an inspector that does not read. Beyond this it is told nothing until it has, then everything anew. */
export const MAX_FEED_UNREAD_BYTES = 2 * 1024 * 1024;
/** Shorter than proxies take for silence (60 s). */
export const FEED_HEARTBEAT_MS = 15_000;

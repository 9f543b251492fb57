// The client of a Loquat agent.
export { Loquat, Problem, Run } from "./agent.js";
export { Conversation } from "./conversation.js";
export { decode, empty, fold } from "./events.js";
export { readFrames } from "./sse.js";

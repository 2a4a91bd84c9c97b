// openai-node against /v1: `node client.mjs BASE_URL SESSION_ID`. Ends with the word "passed".
import assert from "node:assert/strict";
import OpenAI from "openai";

const [baseURL, session] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none" });

const first = await client.responses.create({ model: "demo", input: "I like tea", conversation: session });
assert.equal(first.conversation.id, session);

const stream = await client.responses.create({ model: "demo", input: "What do I like?", conversation: { id: session }, stream: true });
const events = [];
for await (const event of stream) events.push(event);
assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
const last = events.at(-1);
assert.equal(last.type, "response.completed");
assert.equal(last.response.conversation.id, session);
const words = events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta).join("");
assert.match(words, /I like tea/);

const final = await client.responses.stream({ model: "demo", input: "And now?", conversation: session }).finalResponse();
assert.equal(final.conversation.id, session);

const added = await client.conversations.items.create(session, { items: [{ type: "message", role: "user", content: "one more" }] });
assert.equal(added.data.length, 1);
const items = [];
for await (const item of client.conversations.items.list(session, { limit: 2, order: "asc" })) items.push(item);
assert.deepEqual(items.map((item) => item.role), ["user", "assistant", "user", "assistant", "user", "assistant", "user"]);
assert.deepEqual(await client.conversations.items.retrieve(items[0].id, { conversation_id: session }), items[0]);
assert.equal((await client.conversations.items.delete(items[6].id, { conversation_id: session })).id, session);

assert.equal((await client.responses.retrieve(first.id)).id, first.id);
assert.equal((await client.conversations.update(session, { metadata: { topic: "tea" } })).metadata.topic, "tea");
const made = await client.conversations.create({ metadata: { session_id: `${session}-2` } });
assert.equal(made.id, `${session}-2`);
for (const id of [session, made.id]) assert.equal((await client.conversations.delete(id)).deleted, true);
await assert.rejects(client.conversations.retrieve(session), OpenAI.NotFoundError);
await assert.rejects(client.responses.create({ model: "demo", input: "x", conversation: `conv_${"a".repeat(48)}` }), OpenAI.BadRequestError);

const alone = await client.responses.create({ model: "demo", input: "I like tea" });
const next = await client.responses.create({ model: "demo", input: "What do I like?", previous_response_id: alone.id });
assert.match(next.output_text, /I like tea/);
const models = [];
for await (const model of client.models.list()) models.push(model.id);
assert.ok(models.includes("demo"));

console.log("passed");

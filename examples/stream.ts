/** One answer, token by token, with the three best candidates of each: node examples/stream.ts */
import { LLM } from "../src/index.ts";

await using llm = await LLM.load("demo-model");

const messages = [{ role: "user", content: "Why is the KV cache paged?" }];
const params = { temperature: 0, maxTokens: 24, logprobs: 3 };
for await (const { text, logprobs } of llm.streamChat(messages, params)) {
	const best = logprobs?.[0]?.map(
		({ token, logprob }) => `${JSON.stringify(token)} ${logprob.toFixed(2)}`,
	);
	if (best !== undefined) console.log(text.padEnd(14), best.join("  "));
}

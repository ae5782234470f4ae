/** Many prompts in one batch: node examples/batch.ts */
import { LLM } from "../src/index.ts";

await using llm = await LLM.load("demo-model");

const prompts = [2, 3, 5, 7, 11].map((n) => [
	{ role: "user", content: `What is ${n} + ${6 * n}?` },
]);
const results = await llm.chat(prompts, { temperature: 0, maxTokens: 16 });
for (const { outputs } of results) console.log(outputs[0].text);
console.log(llm.stats());

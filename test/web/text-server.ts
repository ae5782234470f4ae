/** An OpenAI-compatible server that gives one answer to whatever it is asked, a few characters a token, with made-up probabilities. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface TextServer {
	readonly url: string;
	close(): Promise<void>;
}

const TOKEN_LENGTH = 7;

export async function serveText(
	text: string,
	model = "text-model",
	port = 0,
): Promise<TextServer> {
	const server = createServer((request, response) => {
		response.setHeader("Access-Control-Allow-Origin", "*");
		response.setHeader("Access-Control-Allow-Headers", "*");
		if (request.method === "OPTIONS") response.end();
		else if (request.url === "/v1/models")
			response.end(JSON.stringify({ data: [{ id: model }] }));
		else if (request.url !== "/v1/chat/completions")
			response.writeHead(404).end();
		else {
			response.setHeader("Content-Type", "text/event-stream");
			response.end(streamOf(text));
		}
	});
	await new Promise<void>((done) => server.listen(port, "127.0.0.1", done));
	const address = server.address() as AddressInfo;
	return {
		url: `http://127.0.0.1:${address.port}`,
		close: () => {
			server.closeAllConnections();
			return new Promise((done) => server.close(() => done()));
		},
	};
}

function streamOf(text: string): string {
	const numTokens = Math.ceil(text.length / TOKEN_LENGTH);
	const chunks = Array.from({ length: numTokens }, (_, i) => {
		const content = text.slice(i * TOKEN_LENGTH, (i + 1) * TOKEN_LENGTH);
		const share = ((i * 37) % 100) / 100 + 0.005;
		const others = [
			{ token: " other", logprob: Math.log((1 - share) * 0.7) },
			{ token: " else", logprob: Math.log((1 - share) * 0.2) },
		];
		const token = { token: content, logprob: Math.log(share) };
		return {
			delta: { content },
			logprobs: {
				content: [{ ...token, top_logprobs: [token, ...others] }],
			},
		};
	});
	return [...chunks, { delta: {}, finish_reason: "stop" }]
		.map((choice) => `data: ${JSON.stringify({ choices: [choice] })}\n\n`)
		.concat("data: [DONE]\n\n")
		.join("");
}

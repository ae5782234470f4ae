/** A server's life as a process: load, listen, answer, and end gently when told to. */
import { pino } from "pino";
import type { EngineConfig } from "../config.ts";
import { createApp } from "../server/app.ts";
import type { ServerOptions } from "../server/options.ts";
import type { NamedLora } from "./adapters.ts";
import { listen } from "./http-server.ts";
import { modelLine, openModel } from "./model.ts";
import type { ListenOptions } from "./serve-flags.ts";
import { note, withInterrupt } from "./terminal.ts";

export async function runServer(
	model: string,
	engine: Partial<EngineConfig>,
	adapters: readonly NamedLora[],
	options: Partial<ServerOptions>,
	where: ListenOptions,
): Promise<void> {
	const llm = await withInterrupt((signal) => openModel(model, engine, signal));
	try {
		for (const { name, path } of adapters)
			await llm.loadLoraAdapter(name, path);
		const log = pino({ base: null }, pino.destination(2));
		const app = createApp(llm, { ...options, log });
		const ended = untilToldToEnd();
		const server = await listen(app.fetch, where);
		note(modelLine(llm));
		process.stdout.write(`listening on ${server.address}\n`);
		if (options.webFiles && where.uds === null)
			note(webHint(server.address, options));
		const signal = await ended;
		log.info({ signal }, "shutting down: running requests may end");
		await app.drain(where.shutdownTimeout * 1000);
		await server.close();
	} finally {
		await llm.close();
	}
}

function webHint(
	address: string,
	{ enableInspector }: Partial<ServerOptions>,
): string {
	const inspector = enableInspector
		? `its engine live at ${address}/#/inspector`
		: "with --enable-inspector it shows the engine live";
	return `web app at ${address}/, ${inspector}`;
}

/** The first SIGTERM or SIGINT ends gently, a second at once. */
function untilToldToEnd(): Promise<NodeJS.Signals> {
	return new Promise((resolve) => {
		const end = (signal: NodeJS.Signals) => {
			process.removeListener("SIGTERM", end);
			process.removeListener("SIGINT", end);
			resolve(signal);
		};
		process.on("SIGTERM", end);
		process.on("SIGINT", end);
	});
}

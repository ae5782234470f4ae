/** Who is let in: users, tokens, nkeys, TLS; and what is said to whom is not. By `job status`, which every server must let in for. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { nkeys } from "@nats-io/transport-node";
import { connectionOptions } from "../../src/cli/nats-connection.ts";
import { run, temporaryFolder } from "../cli/command-line.ts";
import { skip, startServer } from "./server.ts";

const folder = temporaryFolder();

const status = (
	url: string,
	flags: readonly string[] = [],
	environment: Readonly<Record<string, string>> = {},
) => run(["job", "status", "--nats", url, ...flags], "", environment);

async function assertLetIn(asked: ReturnType<typeof status>): Promise<void> {
	const { code, stderr, stdout } = await asked;
	assert.equal(code, 0, stderr);
	assert.match(stdout, /^no jobs\nno workers\n$/);
}

async function assertKeptOut(
	asked: ReturnType<typeof status>,
	message: RegExp,
): Promise<void> {
	const { code, stderr } = await asked;
	assert.equal(code, 1);
	assert.match(stderr, message);
	assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
	assert.doesNotMatch(stderr, /s3cret|wrong/);
}

test("a user by flag, environment or URL; nobody else, and no secret in messages", {
	skip,
}, async () => {
	const config = 'authorization { user: "me", password: "s3cret" }';
	const { url, port } = await startServer({ config });
	const at = `@127.0.0.1:${port}`;
	const refused =
		/error \[broker_failed\]: nats:\/\/127\.0\.0\.1:\d+ could not be reached \(.*Authorization Violation/i;
	await Promise.all([
		assertLetIn(status(`nats://me:s3cret${at}`)),
		assertLetIn(
			status(url, ["--nats-user", "me"], { NATS_PASSWORD: "s3cret" }),
		),
		assertKeptOut(status(`nats://me:wrong${at}`), refused),
		assertKeptOut(status(url), refused),
	]);
});

test("a token, and an nkey whose seed lies in a file", { skip }, async () => {
	const user = nkeys.createUser();
	const [token, nkey] = await Promise.all([
		startServer({ config: 'authorization { token: "s3cret" }' }),
		startServer({
			config: `authorization { users: [ { nkey: "${user.getPublicKey()}" } ] }`,
		}),
	]);
	const seed = join(folder, "me.nk");
	writeFileSync(seed, `# mine\n${new TextDecoder().decode(user.getSeed())}\n`);
	await Promise.all([
		assertLetIn(status(`nats://s3cret@127.0.0.1:${token.port}`)),
		assertLetIn(status(token.url, [], { NATS_TOKEN: "s3cret" })),
		assertLetIn(status(nkey.url, ["--nats-nkey", seed])),
		assertKeptOut(status(nkey.url), /broker_failed/),
		assertKeptOut(
			status(nkey.url, ["--nats-nkey", join(folder, "absent")]),
			/\[invalid_option\]: .*absent could not be read \(ENOENT\)/,
		),
	]);
});

test("TLS with an authority of one's own", { skip }, async (t) => {
	const [key, certificate] = [
		join(folder, "key.pem"),
		join(folder, "cert.pem"),
	];
	const { error, status: code } = spawnSync("openssl", [
		...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
		...["-nodes", "-days", "2", "-subj", "/CN=localhost"],
		...["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
		...["-keyout", key, "-out", certificate],
	]);
	if (error !== undefined || code !== 0)
		return t.skip("no openssl here that makes a certificate");
	const { port } = await startServer({
		config: `tls { cert_file: "${certificate}", key_file: "${key}" }`,
	});
	const url = `tls://127.0.0.1:${port}`;
	await Promise.all([
		assertLetIn(status(url, ["--nats-ca", certificate])),
		assertKeptOut(status(url), /self.signed certificate/),
	]);
});

test("what is no server, no JetStream, and no URL is said in one line", {
	skip,
}, async () => {
	const plain = await startServer({ jetstream: false });
	await Promise.all([
		assertKeptOut(
			status("nats://127.0.0.1:9"),
			/\[broker_failed\]: nats:\/\/127\.0\.0\.1:9 could not be reached \(.*ECONNREFUSED.*nats-server -js/,
		),
		assertKeptOut(
			status(plain.url),
			/\[broker_failed\]: the NATS server at .* would not give JetStream/,
		),
		assertKeptOut(
			status("http://127.0.0.1"),
			/\[invalid_option\]: --nats must be like nats:\/\/HOST:4222/,
		),
	]);
});

test("several servers, their ports, and names in URLs", () => {
	const { pass, servers, user } = connectionOptions(
		"nats://me:p%40ss@a:1,b,tls://[::1]:3",
		{},
	);
	assert.deepEqual(
		[servers, user, pass],
		[["a:1", "b:4222", "[::1]:3"], "me", "p@ss"],
	);
	assert.deepEqual(connectionOptions("t0ken@a", {}).token, "t0ken");
});

export function narrowSchema(json: unknown): string {
	return typeof json === "string" ? json : JSON.stringify(json);
}

/** Models this browser keeps, with their sizes. */
export function CachedModels() {
	return null;
}

/** The worker of a model whose GPU a test can take away: `loseDevices()` in it. Bundled by bundle.ts. */
const devices: GPUDevice[] = [];
const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (descriptor) {
	const device = await requestDevice.call(this, descriptor);
	devices.push(device);
	return device;
};
Object.assign(globalThis, {
	loseDevices() {
		for (const device of devices) device.destroy();
	},
});
await import("../../src/browser/llm-worker.ts");

export {};

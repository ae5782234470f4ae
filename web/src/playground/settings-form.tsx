/** Fields for what a run fires and for the engine it runs on. */
import type { PoolSettings } from "./scenarios.ts";
import type { Workload } from "./workload.ts";

interface NumberField<Key extends string> {
	readonly key: Key;
	readonly label: string;
	readonly min: number;
	readonly max: number;
	readonly step?: number;
}

const WORKLOAD_FIELDS: readonly NumberField<keyof Workload>[] = [
	{ key: "numPrompts", label: "Prompts", min: 1, max: 256 },
	{ key: "numSharedWords", label: "Words all begin with", min: 0, max: 600 },
	{ key: "minOwnWords", label: "Own words, at least", min: 1, max: 600 },
	{ key: "maxOwnWords", label: "Own words, at most", min: 1, max: 600 },
	{
		key: "minOutputTokens",
		label: "Output tokens, at least",
		min: 1,
		max: 512,
	},
	{ key: "maxOutputTokens", label: "Output tokens, at most", min: 1, max: 512 },
	{ key: "seed", label: "Seed", min: 0, max: 9999 },
];

type PoolNumber = Exclude<
	keyof PoolSettings,
	"enableChunkedPrefill" | "enablePrefixCaching"
>;

const POOL_FIELDS: readonly NumberField<PoolNumber>[] = [
	{
		key: "maxNumBatchedTokens",
		label: "Token budget of a step",
		min: 1,
		max: 8192,
	},
	{ key: "maxNumSeqs", label: "Sequences at once", min: 1, max: 256 },
	{ key: "blockSize", label: "Tokens of a block", min: 1, max: 512 },
	{
		key: "poolTokens",
		label: "Tokens of the pool",
		min: 64,
		max: 131_072,
		step: 16,
	},
];

export function WorkloadForm({
	value,
	onChange,
}: {
	readonly value: Workload;
	readonly onChange: (value: Workload) => void;
}) {
	return (
		<fieldset class="fields">
			<legend>Prompts</legend>
			{WORKLOAD_FIELDS.map((field) => (
				<NumberInput
					key={field.key}
					field={field}
					value={value[field.key]}
					onChange={(number) => onChange({ ...value, [field.key]: number })}
				/>
			))}
		</fieldset>
	);
}

export function PoolForm({
	value,
	isFixed,
	onChange,
}: {
	readonly value: PoolSettings;
	/** A server's settings are its own. */
	readonly isFixed: boolean;
	readonly onChange: (value: PoolSettings) => void;
}) {
	return (
		<fieldset class="fields" disabled={isFixed}>
			<legend>Engine</legend>
			{POOL_FIELDS.map((field) => (
				<NumberInput
					key={field.key}
					field={field}
					value={value[field.key]}
					onChange={(number) => onChange({ ...value, [field.key]: number })}
				/>
			))}
			<Switch
				label="Cut prompts into chunks"
				isOn={value.enableChunkedPrefill}
				onChange={(enableChunkedPrefill) =>
					onChange({ ...value, enableChunkedPrefill })
				}
			/>
			<Switch
				label="Cache prefixes"
				isOn={value.enablePrefixCaching}
				onChange={(enablePrefixCaching) =>
					onChange({ ...value, enablePrefixCaching })
				}
			/>
		</fieldset>
	);
}

function NumberInput({
	field: { label, min, max, step },
	value,
	onChange,
}: {
	readonly field: NumberField<string>;
	readonly value: number;
	readonly onChange: (value: number) => void;
}) {
	return (
		<label class="field">
			{label}
			<input
				type="number"
				inputMode="numeric"
				required
				min={min}
				max={max}
				step={step ?? 1}
				value={value}
				onChange={(event) => {
					const { valueAsNumber } = event.currentTarget;
					if (Number.isFinite(valueAsNumber)) onChange(valueAsNumber);
				}}
			/>
		</label>
	);
}

function Switch({
	label,
	isOn,
	onChange,
}: {
	readonly label: string;
	readonly isOn: boolean;
	readonly onChange: (isOn: boolean) => void;
}) {
	return (
		<label class="check">
			<input
				type="checkbox"
				checked={isOn}
				onChange={(event) => onChange(event.currentTarget.checked)}
			/>
			{label}
		</label>
	);
}

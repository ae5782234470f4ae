/** /tokenize and /detokenize: the model's tokenizer and chat template over HTTP. Knows no engine's steps. */
import type { z } from "zod";
import type { detokenizeBody, TokenizeBody } from "./completion-schema.ts";
import { checkModel, type Services } from "./generation.ts";

export function tokenize(services: Services, body: TokenizeBody): Response {
	checkModel(services, body.model);
	const { engine, prompts } = services;
	const { tokenIds } =
		"messages" in body
			? prompts.chat(body, body.tools ?? null)
			: prompts.text(body.prompt, body.add_special_tokens ?? true);
	return Response.json({
		count: tokenIds.length,
		max_model_len: engine.maxModelLen,
		tokens: tokenIds,
		token_strs: body.return_token_strs
			? tokenIds.map((id) => engine.tokenizer.token(id) ?? "")
			: null,
	});
}

export function detokenize(
	services: Services,
	body: z.output<typeof detokenizeBody>,
): Response {
	checkModel(services, body.model);
	const { tokenizer } = services.engine;
	const prompt = tokenizer.decode(body.tokens, { skipSpecialTokens: false });
	return Response.json({ prompt });
}

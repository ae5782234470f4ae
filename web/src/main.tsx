/** Puts the app on the page. */
import "./tokens.css";
import "./base.css";
import { render } from "preact";
import { openConversations } from "./chat/conversations.ts";
import { isolate } from "./isolate.ts";
import { resumeSession } from "./session.ts";
import { Shell } from "./shell.tsx";
import { followTheme } from "./theme.ts";

const root = document.getElementById("app");
if (root === null) throw new Error('index.html has no element with id "app".');
followTheme();
void isolate();
render(<Shell />, root);
void openConversations();
void resumeSession();

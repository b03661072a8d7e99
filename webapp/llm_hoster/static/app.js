// The page's modules. Each listens on the document, so that what htmx puts in later is covered too.
import { watchAttachments } from "./attachments.js";
import { watchComposer } from "./composer.js";
import { watchContext } from "./context.js";
import { watchCopying } from "./copy.js";
import { watchErrors } from "./error.js";
import { watchFileSources } from "./file_sources.js";
import { watchFocus } from "./focus.js";
import { watchNews } from "./news.js";
import { watchNotices } from "./notices.js";
import { watchPanel } from "./panel.js";
import { watchPromptMenu } from "./prompt_menu.js";
import { watchPrompts } from "./prompts.js";
import { watchProse } from "./prose.js";
import { watchReplies } from "./reply.js";
import { watchShortcuts } from "./shortcuts.js";
import { watchStartUp } from "./start_up.js";
import { watchThread } from "./thread.js";
import { watchTimes } from "./times.js";
import { watchVitals } from "./vitals.js";

document.documentElement.classList.add("with-script");

// On a phone the list of chats would take the place of the chat.
if (window.matchMedia("(max-width: 48rem)").matches) document.querySelector("#conversations details")?.removeAttribute("open");

watchThread();
watchReplies();
watchProse();
watchPromptMenu();
watchComposer();
watchAttachments();
watchFileSources();
watchPrompts();
watchContext();
watchCopying();
watchPanel();
watchErrors();
watchFocus();
watchNotices();
watchNews();
watchStartUp();
watchShortcuts();
watchTimes();
watchVitals();

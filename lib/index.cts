/** For `require('llama-sessions')`: the very same module, which Node has been able to require since 20.19. */
export * from './index.js';

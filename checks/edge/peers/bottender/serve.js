// bottender, whose bot does nothing about a message. Prints its port.
'use strict';

const { initializeServer } = require('bottender');

const listening = initializeServer().listen(0, '127.0.0.1', () => console.log(listening.address().port));
process.stdin.on('close', () => process.exit()).resume();

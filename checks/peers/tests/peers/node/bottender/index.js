// A bot as its framework's users write them: it answers, passes to the desk, and grants what the desk asks for.
'use strict';

module.exports = async function App(context) {
  const desk = Number(process.env.DESK);
  const { event } = context;
  if (event.isRequestThreadControl) {
    await context.passThreadControl(event.requestThreadControl.requestedOwnerAppId, 'granted');
  } else if (event.isEcho || event.isStandby) {
    return;
  } else if (event.isText && event.text === 'a person, please') {
    await context.sendText('One moment.');
    await context.passThreadControl(desk, 'wants a person');
  } else if (event.isText) {
    await context.sendText(`You said: ${event.text}`);
  }
};

'use strict';

module.exports = async function App() {};
